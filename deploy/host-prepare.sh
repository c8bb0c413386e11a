#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prepares a machine for sotto-relayd: says what is there, what it would change, and why; changes
# nothing without --apply.
#
#   host-prepare.sh [OPTIONS]            look, and explain
#   host-prepare.sh --apply [OPTIONS]    change, now and for every boot
#   host-prepare.sh --undo               take back all that --apply changed
#
#   --hugepages MB     that much memory in hugepages of 2 MB, on the NUMA node of the NIC (or the
#                      first node); default 1024, 0 for none
#   --nic PCI          a NIC for the relay, by PCI address: bound to vfio-pci, unless its driver
#                      shares it with the kernel (mlx5). May be given several times
#   --interface NAME   a kernel interface for the relay (net_af_xdp, net_af_packet): up,
#                      promiscuous, no merged packets. May be given several times
#   --queues N         number of queue pairs on each --interface, one per worker of the relay
#   --cpus LIST        CPUs of the relay's workers, e.g. 2-5: keeps interrupts away from them and
#                      their clock up, and prints the kernel's command line for them
#
# Files in /etc that name this script as their author make the changes at each boot; the values from
# before are noted in /var/lib/sotto-host-prepare. SOTTO_ROOT=FOLDER is another root, for tests.
#
# Exit code: 0 done, or nothing to do; 1 something could not be changed; 2 refused, or wrong usage.
set -euo pipefail

readonly ROOT=${SOTTO_ROOT-}
readonly STATE=$ROOT/var/lib/sotto-host-prepare/undo
readonly MARK='Written by sotto-host-prepare; "sotto-host-prepare --undo" removes it.'
readonly UNIT=/etc/systemd/system/sotto-host.service
readonly TMPFILES=/etc/tmpfiles.d/sotto-host.conf

apply=no
failed=no
hugepage_mb=1024
queues=
cpus=
nics=()
interfaces=()
unit_lines=()      # ExecStart= of the unit that repeats at boot what has no file of its own
unit_devices=()    # that it waits for
tmpfiles_lines=()  # values in /sys that systemd-tmpfiles writes at boot

refuse() { echo "host-prepare.sh: $*" >&2; exit 2; }
trouble() { echo "      trouble: $*"; failed=yes; }
section() { printf '\n%s\n' "$1"; }
fact() { printf '  %s\n' "$*" | fold -s -w 100 | sed '2,$s/^/    /'; }
value() { cat "$ROOT$1" 2>/dev/null || true; }
words() { tr -s ' \n\t' ' ' <<<"$*" | sed 's/^ //; s/ $//'; }

# announce WHY WHAT: the heading of a change.
announce() {
  if [ $apply = yes ]; then printf '  + %s\n' "$2"; else printf '  would: %s\n' "$2"; fi
  printf '%s\n' "$1" | fold -s -w 92 | sed 's/^/      /'
}
# remember KIND ARGUMENT...: for --undo. What was there before the first --apply counts.
remember() {
  mkdir -p "$(dirname "$STATE")"
  touch "$STATE"
  local line
  line=$(printf '%s\t' "$@")
  grep -qF -- "$1"$'\t'"$2"$'\t' "$STATE" || printf '%s\n' "$line" >>"$STATE"
}
# set_value WHY PATH VALUE: a file of the kernel's.
set_value() {
  local why=$1 path=$2 wanted=$3 before
  before=$(value "$path")
  [ "$before" != "$wanted" ] || return 0
  announce "$why" "$path: $before -> $wanted"
  [ $apply = yes ] || return 0
  remember value "$path" "$before"
  echo "$wanted" 2>/dev/null >"$ROOT$path" || true
  [ "$(value "$path")" = "$wanted" ]
}
# put_file WHY PATH: standard input, under a line that says who wrote it.
put_file() {
  local why=$1 path=$2 text
  text="# $MARK"$'\n'$(cat)
  [ "$(value "$path")" != "$text" ] || return 0
  if [ -e "$ROOT$path" ] && ! grep -qF -- "$MARK" "$ROOT$path"; then
    trouble "$path is there, and somebody else wrote it; it stays as it is"
    return 0
  fi
  announce "$why" "write $path"
  if [ $apply = no ]; then
    printf '      | %s\n' "${text//$'\n'/$'\n'      | }"
    return 0
  fi
  remember file "$path"
  mkdir -p "$(dirname "$ROOT$path")"
  printf '%s\n' "$text" >"$ROOT$path"
}
# run WHY UNDO COMMAND...: UNDO is a command too, in one word, or empty.
run() {
  local why=$1 undo=$2
  shift 2
  announce "$why" "$*"
  [ $apply = yes ] || return 0
  [ -z "$undo" ] || remember command "$undo"
  "$@" >/dev/null || trouble "$*"
}

cpu_numbers() { # LIST: "2-4,8" as lines
  local part
  for part in ${1//,/ }; do
    seq "${part%-*}" "${part#*-}"
  done
}

# Interfaces that carry the default route or this SSH session, with all that they stand on (VLANs,
# bonds, bridges).
needed_interfaces() {
  {
    awk '$2 == "00000000" && $8 == "00000000" { print $1 }' "$ROOT/proc/net/route"
    [ ! -e "$ROOT/proc/net/ipv6_route" ] ||
      awk '$1 ~ /^0+$/ && $2 == "00" && $10 != "lo" { print $10 }' "$ROOT/proc/net/ipv6_route"
    if [ -n "${SSH_CONNECTION-}" ]; then
      ip -o address show to "$(cut -d ' ' -f 3 <<<"$SSH_CONNECTION")" | awk '{ print $2 }'
    fi
  } | sort -u | while read -r name; do
    echo "$name"
    stands_on "$name"
  done
}
stands_on() {
  local lower
  for lower in "$ROOT/sys/class/net/$1"/lower_*; do
    [ -e "$lower" ] || continue
    lower=${lower##*/lower_}
    echo "$lower"
    stands_on "$lower"
  done
}
refuse_if_needed() { # INTERFACE WHAT
  if needed_interfaces | grep -qxF -- "$1"; then
    refuse "$2 is how this machine is reached ($1 carries its default route or this SSH session);" \
      "take another, or move these first."
  fi
}

driver_of() { # PCI
  local link
  link=$(readlink "$ROOT/sys/bus/pci/devices/$1/driver") || true
  echo "${link##*/}"
}
names_of() { # PCI: its kernel interfaces; virtio's stand one device deeper
  local name
  for name in "$ROOT"/sys/class/net/*; do
    [[ $(readlink -f "$name/device")/ != */$1/* ]] || echo "${name##*/}"
  done
}

show_cpus() {
  section "CPUs and memory"
  local model governor
  model=$(sed -n 's/^model name[^:]*: //p' "$ROOT/proc/cpuinfo" | head -n 1)
  fact "$model; CPUs $(value /sys/devices/system/cpu/online)," \
    "NUMA nodes $(value /sys/devices/system/node/online)"
  governor=$(value /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)
  fact "Clock: ${governor:-the kernel has no say in it (a virtual machine, or the firmware)}"
  fact "Kernel command line: $(value /proc/cmdline)"
  local limit
  limit=$(ulimit -l)
  [ "$limit" = unlimited ] ||
    fact "Locked memory: $limit KB in this shell. The service has no limit; to start a relay by hand, ulimit -l unlimited."
}

show_nics() {
  section "NICs"
  local device class pci driver names node
  for device in "$ROOT"/sys/bus/pci/devices/*; do
    [ -e "$device/class" ] || continue
    class=$(<"$device/class")
    [[ $class == 0x02* ]] || continue
    pci=${device##*/}
    driver=$(driver_of "$pci")
    names=$(words "$(names_of "$pci")")
    node=$(value "/sys/bus/pci/devices/$pci/numa_node")
    fact "$pci  driver ${driver:-none}${names:+, interface $names}, NUMA node $node"
  done
  fact "Needed to reach this machine:" \
    "$(words "$(needed_interfaces)" | grep . || echo "none of its interfaces")"
}

prepare_hugepages() {
  section "Hugepages"
  local node=0 nic path total free wanted got
  for nic in "${nics[@]}"; do
    node=$(value "/sys/bus/pci/devices/$nic/numa_node")
    [ "${node:--1}" -ge 0 ] || node=0
    break
  done
  path=/sys/devices/system/node/node$node/hugepages/hugepages-2048kB
  [ -d "$ROOT$path" ] || { fact "This kernel has no hugepages of 2 MB; the relay takes ordinary pages."; return; }
  total=$(value "$path/nr_hugepages")
  free=$(value "$path/free_hugepages")
  fact "Node $node: $total pages of 2 MB, $free of them free"
  [ "$hugepage_mb" -gt 0 ] || return 0
  wanted=$(((hugepage_mb + 1) / 2))
  if [ "$total" -ge "$wanted" ]; then
    fact "Enough for $hugepage_mb MB."
  elif ! set_value "One look-up of a leg then misses the TLB far less often. On node $node, as memory of the other node answers later." \
    "$path/nr_hugepages" "$wanted"; then
    got=$(value "$path/nr_hugepages")
    trouble "the kernel found ${got:-0} pages of $wanted; memory is in pieces. They come at the next boot, or from its command line (below)"
  fi
  tmpfiles_lines+=("w $path/nr_hugepages - - - - $wanted")
}

prepare_nic() { # PCI
  local pci=$1 device=/sys/bus/pci/devices/$1 driver name group other
  section "NIC $pci"
  [ -d "$ROOT$device" ] ||
    refuse "there is no PCI device $pci; without options, host-prepare.sh lists the NICs."
  driver=$(driver_of "$pci")
  case $driver in
    mlx4_core | mlx5_core)
      fact "$driver shares the NIC with the kernel: nothing is bound, its interface stays. The relay's addresses must not be the kernel's."
      [ -n "$(find "$ROOT/sys/class/infiniband" -mindepth 1 2>/dev/null | head -n 1)" ] ||
        run "Without ib_uverbs DPDK can't open it." "" modprobe -a ib_uverbs mlx5_ib
      put_file "Loads it at boot." /etc/modules-load.d/sotto.conf <<<"ib_uverbs"
      return
      ;;
  esac
  for name in $(names_of "$pci"); do
    refuse_if_needed "$name" "$pci"
  done
  group=$(readlink "$ROOT$device/iommu_group") || true
  group=${group##*/}
  [ -n "$group" ] ||
    refuse "$pci is in no IOMMU group, so the NIC could read and write all memory. Turn the IOMMU on in" \
      "the firmware (VT-d, AMD-Vi), and on Intel's boot with intel_iommu=on iommu=pt; in a virtual" \
      "machine without one, use the kernel's driver: --interface, with net_af_xdp."
  fact "IOMMU group $group, driver ${driver:-none}"
  for other in "$ROOT/sys/kernel/iommu_groups/$group/devices"/*; do
    other=${other##*/}
    if [ "$other" = "$pci" ] || [[ $(value "/sys/bus/pci/devices/$other/class") == 0x06* ]]; then
      continue  # itself, or a bridge
    fi
    [[ " ${nics[*]} " == *" $other "* ]] || [ -z "$(driver_of "$other")" ] ||
      [ "$(driver_of "$other")" = vfio-pci ] ||
      refuse "$other is in the same IOMMU group as $pci and in use by $(driver_of "$other"); give" \
        "both to the relay (--nic $other too), or use another slot."
  done
  put_file "Loads the driver that hands a NIC to a program, at boot." \
    /etc/modules-load.d/sotto.conf <<<"vfio-pci"
  put_file "The relay runs as the user sotto: it must be able to open the NIC." \
    /etc/udev/rules.d/60-sotto-vfio.rules \
    <<<'SUBSYSTEM=="vfio", OWNER="root", GROUP="sotto", MODE="0660"'
  if [ "$driver" != vfio-pci ]; then
    run "The driver that hands a NIC to a program." "" modprobe vfio-pci
    announce "The kernel lets go of the NIC; its interface is gone then. The IOMMU lets it see the relay's memory alone." \
      "bind $pci to vfio-pci (now: ${driver:-none})"
    if [ $apply = yes ]; then
      remember bind "$pci" "$driver"
      bind "$pci" vfio-pci
    fi
  fi
  # systemd would read $ as its own.
  device=/sys/bus/pci/devices/$pci
  unit_lines+=("ExecStart=/bin/sh -c 'echo vfio-pci >$device/driver_override; [ ! -e $device/driver ] || echo $pci >$device/driver/unbind; echo $pci >/sys/bus/pci/drivers_probe'")
}
bind() { # PCI DRIVER: empty: whichever the kernel finds
  local device=$ROOT/sys/bus/pci/devices/$1
  { echo "$2" >"$device/driver_override"; } 2>/dev/null || true
  [ ! -e "$device/driver" ] || { echo "$1" >"$device/driver/unbind"; } 2>/dev/null || true
  { echo "$1" >"$ROOT/sys/bus/pci/drivers_probe"; } 2>/dev/null || true
  udevadm settle --timeout=10 || true
  [ -z "$2" ] || [ "$(driver_of "$1")" = "$2" ] ||
    trouble "$1 has the driver $(driver_of "$1"), not $2; look at dmesg"
}

prepare_interface() { # NAME
  local name=$1 sys=/sys/class/net/$1 feature state why flags channels most
  section "Interface $name"
  [ -d "$ROOT$sys" ] || refuse "there is no interface $name; ip link lists them."
  refuse_if_needed "$name" "$name"
  fact "MTU $(value "$sys/mtu"), $(value "$sys/operstate"), MAC address $(value "$sys/address")"
  if [ -n "$(ip -o address show dev "$name" scope global)" ]; then
    fact "The kernel has addresses here:" \
      "$(words "$(ip -o address show dev "$name" scope global | awk '{ print $4 }')")." \
      "The relay's must not be among them."
  fi
  flags=$(value "$sys/flags")
  unit_devices+=("sys-subsystem-net-devices-${name//-/\\x2d}.device")
  unit_lines+=("ExecStart=ip link set dev $name up promisc on")
  (((flags & 0x1) && (flags & 0x100))) ||
    run "The relay sees frames to its own MAC address ([[interface]] mac), which isn't the interface's; a link that is down has none." \
      "ip link set dev $name $( ((flags & 0x1)) && echo up || echo down) promisc $( ((flags & 0x100)) && echo on || echo off)" \
      ip link set dev "$name" up promisc on
  for feature in generic-receive-offload large-receive-offload rx-vlan-offload; do
    state=$(ethtool -k "$name" 2>/dev/null | sed -n "s/^$feature: //p")
    case $state in
      on | off) unit_lines+=("ExecStart=-ethtool -K $name $feature off") ;;
    esac
    [ "$state" = on ] || continue  # off, fixed, or unknown to its driver
    case $feature in
      rx-vlan-offload) why="AF_XDP shows frames without the VLAN tags that the NIC took off." ;;
      *) why="Packets that the kernel merged are larger than the MTU, and no client would take them back." ;;
    esac
    run "$why" "ethtool -K $name $feature on" ethtool -K "$name" "$feature" off
  done
  [ -n "$queues" ] || return 0
  channels=$(ethtool -l "$name" 2>/dev/null | awk '/^Combined:/ { print $2 }' | tail -n 1)
  most=$(ethtool -l "$name" 2>/dev/null | awk '/^Combined:/ { print $2 }' | head -n 1)
  if [[ ! $channels =~ ^[0-9]+$ ]]; then
    fact "Its driver has one queue, and says no more about it: one worker with net_af_xdp; net_af_packet spreads by hash (qpairs=$queues)."
  elif [ "$most" -lt "$queues" ]; then
    refuse "$name has $most queue pairs at most, so there can be as many workers: --queues $most."
  else
    unit_lines+=("ExecStart=ethtool -L $name combined $queues")
    [ "$channels" = "$queues" ] ||
      run "A worker polls one queue pair of each port; a packet in a queue without a worker would never be seen." \
        "ethtool -L $name combined $channels" ethtool -L "$name" combined "$queues"
  fi
}

prepare_cpus() {
  section "CPUs of the workers"
  local cpu siblings node path
  for cpu in $(cpu_numbers "$cpus"); do
    [ -d "$ROOT/sys/devices/system/cpu/cpu$cpu" ] || refuse "there is no CPU $cpu (--cpus $cpus)."
    siblings=$(value "/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list")
    [ "$(cpu_numbers "$siblings" | grep -cxF -f <(cpu_numbers "$cpus"))" -le 1 ] ||
      fact "CPU $cpu is one of two threads of a core ($siblings): two workers there do little more than one."
    for node in $(cpu_numbers "$(value /sys/devices/system/node/online)"); do
      [ -e "$ROOT/sys/devices/system/node/node$node/cpu$cpu" ] || continue
      for nic in "${nics[@]}"; do
        [ "$(value "/sys/bus/pci/devices/$nic/numa_node")" -lt 0 ] ||
          [ "$(value "/sys/bus/pci/devices/$nic/numa_node")" = "$node" ] ||
          fact "CPU $cpu is on node $node, $nic isn't: each packet then crosses between them."
      done
    done
    path=/sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor
    if [ -e "$ROOT$path" ]; then
      set_value "A clock that goes down between packets makes the next one late." "$path" performance ||
        trouble "$path stays as it is"
      tmpfiles_lines+=("w $path - - - - performance")
    fi
  done
  if systemctl --quiet is-active irqbalance 2>/dev/null; then
    put_file "irqbalance keeps interrupts off the workers' CPUs: each one stops a worker for microseconds." \
      /etc/systemd/system/irqbalance.service.d/sotto.conf <<E
[Service]
Environment=IRQBALANCE_BANNED_CPULIST=$cpus
E
    if [ $apply = yes ]; then
      systemctl daemon-reload
      systemctl restart irqbalance || trouble "systemctl restart irqbalance"
    fi
  else
    fact "irqbalance doesn't run: interrupts stay where the kernel puts them; see /proc/interrupts."
  fi
  fact "In the relay's configuration: workers = $(cpu_numbers "$cpus" | wc -l);" \
    "in [dataplane] eal_args" \
    "\"--lcores=0@$(first_other_cpu),$(lcore_map)\"."
}
first_other_cpu() {
  cpu_numbers "$(value /sys/devices/system/cpu/online)" | grep -vxF -f <(cpu_numbers "$cpus") |
    head -n 1 || echo 0
}
lcore_map() { cpu_numbers "$cpus" | awk '{ printf "%s%d@%d", (NR > 1 ? "," : ""), NR, $1 }'; }

suggest() { # ARGUMENT WHY
  [[ " $(value /proc/cmdline) " == *" $1 "* ]] || printf '  %-36s %s\n' "$1" "$2"
}
suggest_command_line() {
  section "Kernel command line (yours to change: /etc/default/grub, update-grub, reboot)"
  if [ "$hugepage_mb" -ge 1024 ]; then
    suggest "default_hugepagesz=1G" "fewer and larger pages, which only fresh memory has in one piece"
    suggest "hugepages=$(((hugepage_mb + 1023) / 1024))" \
      "so many of them, shared out among the NUMA nodes"
  fi
  if [ ${#nics[@]} -gt 0 ]; then
    ! grep -q '^vendor_id.*GenuineIntel' "$ROOT/proc/cpuinfo" ||
      suggest "intel_iommu=on" "without it, there is no IOMMU on Intel's"
    suggest "iommu=pt" "the kernel's own devices don't pay for it"
  fi
  [ -n "$cpus" ] || { fact "With --cpus LIST: also what keeps the kernel off the workers' CPUs."; return; }
  suggest "isolcpus=managed_irq,domain,$cpus" "the scheduler puts nothing else there"
  suggest "nohz_full=$cpus" "no tick while a worker is alone on its CPU (poll = \"busy\")"
  suggest "rcu_nocbs=$cpus" "the kernel's own clean-up runs elsewhere"
}

write_boot_files() {
  [ ${#tmpfiles_lines[@]} -gt 0 ] || [ ${#unit_lines[@]} -gt 0 ] || return 0
  section "For the next boot"
  if [ ${#tmpfiles_lines[@]} -gt 0 ]; then
    put_file "systemd-tmpfiles writes these values at boot." "$TMPFILES" \
      < <(printf '%s\n' "${tmpfiles_lines[@]}")
  fi
  [ ${#unit_lines[@]} -gt 0 ] || return 0
  put_file "Runs at boot, before the relay." "$UNIT" <<E
[Unit]
Description=Ports for sotto-relayd
Wants=${unit_devices[*]}
After=systemd-modules-load.service ${unit_devices[*]}
Before=sotto-relayd.service

[Service]
Type=oneshot
RemainAfterExit=yes
$(printf '%s\n' "${unit_lines[@]}")

[Install]
WantedBy=multi-user.target
E
  if [ $apply = yes ]; then
    systemctl --quiet enable sotto-host.service || trouble "systemctl enable sotto-host.service"
  fi
}

undo() {
  [ -s "$STATE" ] || { echo "Nothing to undo: --apply has changed nothing here."; exit 0; }
  local kind what before
  section "Undo"
  [ ! -e "$ROOT$UNIT" ] || systemctl --quiet disable sotto-host.service 2>/dev/null || true
  while IFS=$'\t' read -r kind what before; do
    case $kind in
      file)
        if [ -e "$ROOT$what" ] && ! grep -qF -- "$MARK" "$ROOT$what"; then
          fact "$what is somebody else's by now, and stays."
        else
          fact "remove $what"
          rm -f "$ROOT$what"
          [[ $what != */irqbalance.service.d/* ]] ||
            rmdir --ignore-fail-on-non-empty "$(dirname "$ROOT$what")"
        fi
        ;;
      value)
        fact "$what: $(value "$what") -> $before"
        { echo "$before" >"$ROOT$what"; } 2>/dev/null || trouble "$what stays as it is"
        ;;
      bind)
        fact "give $what back to ${before:-the kernel}"
        bind "$what" ""
        ;;
      command)
        fact "$what"
        # shellcheck disable=SC2086  # a command that this script wrote down, in words
        $what >/dev/null || trouble "$what"
        ;;
    esac
  done < <(tac "$STATE")
  systemctl daemon-reload || true
  ! systemctl --quiet is-active irqbalance 2>/dev/null || systemctl restart irqbalance || true
  [ $failed = yes ] || rm -r "$(dirname "$STATE")"
}

prepare_all() {
  local name
  show_cpus
  show_nics
  prepare_hugepages
  for name in "${nics[@]}"; do prepare_nic "$name"; done
  for name in "${interfaces[@]}"; do prepare_interface "$name"; done
  [ -z "$cpus" ] || prepare_cpus
  suggest_command_line
  write_boot_files
}

number() { [[ $2 =~ ^[0-9]{1,6}$ ]] || refuse "$1 $2: a number is wanted."; }
while [ $# -gt 0 ]; do
  case $1 in
    --apply) apply=yes ;;
    --undo) apply=undo ;;
    --hugepages | --nic | --interface | --queues | --cpus)
      [ $# -gt 1 ] || refuse "$1 needs a value; see --help."
      case $1 in
        --hugepages) number "$1" "$2"; hugepage_mb=$2 ;;
        --queues) number "$1" "$2"; queues=$2 ;;
        --nic)
          [[ $2 =~ ^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] ||
            refuse "--nic $2: a PCI address is wanted, such as 0000:01:00.0."
          if [ -n "${BASH_REMATCH[1]}" ]; then nics+=("$2"); else nics+=("0000:$2"); fi
          ;;
        --interface)
          [[ $2 =~ ^[A-Za-z0-9._-]{1,15}$ ]] ||
            refuse "--interface $2: the name of an interface is wanted."
          interfaces+=("$2")
          ;;
        --cpus)
          [[ $2 =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]] ||
            refuse "--cpus $2: a list of CPUs is wanted, such as 2-5,8."
          cpus=$2
          ;;
      esac
      shift
      ;;
    -h | --help)
      sed -n '/^#!/d; /^# SPDX-/d; /^#/!q; s/^# \{0,1\}//p' "$0"
      exit
      ;;
    *) refuse "there is no $1; see --help." ;;
  esac
  shift
done
[ $apply = no ] || [ "$(id -u)" = 0 ] || refuse "only root can change the host; run it with sudo."

case $apply in
  no)
    prepare_all
    printf '\nNothing was changed; --apply does it.\n'
    ;;
  yes)
    # All or nothing: what would be refused is refused before the first change.
    (apply=no; prepare_all >/dev/null) || exit 2
    prepare_all
    ;;
  undo) undo ;;
esac
[ $failed = no ]
