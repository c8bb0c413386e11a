# SPDX-License-Identifier: Apache-2.0
"""deploy/host-prepare.sh on machines made of files: what it says, changes, refuses and takes back.
Needs no privileges; nothing of this machine is read or changed."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "deploy/host-prepare.sh"
PAGES = "sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"

# What the script calls. Each call is noted; udevadm plays the kernel, which binds what was asked
# for.
COMMANDS = {
    "id": "echo 0",
    "ip": 'case "$*" in *"show to 198.51.100.7"*) echo "3: eth1    inet 198.51.100.7/24" ;;'
          ' *"show dev eth1"*) echo "3: eth1    inet 203.0.113.5/24" ;; esac',
    "ethtool": "case $1 in"
               ' -k) printf "generic-receive-offload: $(cat "$SOTTO_ROOT/run/gro")\\n"'
               " && printf 'large-receive-offload: off [fixed]\\n' ;;"
               ' -K) echo "$4" >"$SOTTO_ROOT/run/gro" ;;'
               " -l) printf 'Maximums:\\nCombined: 8\\nCurrent:\\nCombined: 4\\n' ;; esac",
    "modprobe": "true",
    "systemctl": 'case "$*" in *is-active*) [ -e "$SOTTO_ROOT/run/irqbalance" ] ;; esac',
    "udevadm": 'pci=$(cat "$SOTTO_ROOT/sys/bus/pci/drivers_probe")\n'
               'cd "$SOTTO_ROOT/sys/bus/pci/devices/$pci"\n'
               "driver=$(cat driver_override); driver=${driver:-$(cat native)}\n"
               'ln -sfn "$SOTTO_ROOT/sys/bus/pci/drivers/$driver" driver',
}
ASKS = ("ip -o", "ethtool -k", "ethtool -l", "systemctl --quiet is-active", "id -u")


class Host:
    """Two NUMA nodes of two CPUs; eth0 (ixgbe, node 0) carries the default route, eth1 (i40e, node
    1) and eth2 (mlx5) are spare."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="sotto-host-test-")
        self.bin = pathlib.Path(self._folder.name) / "bin"
        self.root = pathlib.Path(self._folder.name) / "root"
        self.calls_file = pathlib.Path(self._folder.name) / "calls"
        for name, body in COMMANDS.items():
            self._put(self.bin / name,
                      f'#!/bin/sh\necho "{name} $*" >>"{self.calls_file}"\n{body}\n')
            (self.bin / name).chmod(0o755)
        self.put("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: A CPU\n")
        self.put("proc/cmdline", "quiet iommu=pt")
        self.put("run/gro", "on")
        self.route("eth0")
        self.put("sys/devices/system/cpu/online", "0-3")
        self.put("sys/devices/system/node/online", "0-1")
        for node in (0, 1):
            self.put(PAGES.format(node), "16")
            self.put(PAGES.format(node).replace("nr_", "free_"), "4")
        for cpu in range(4):
            base = f"sys/devices/system/cpu/cpu{cpu}"
            self.put(f"{base}/cpufreq/scaling_governor", "schedutil")
            self.put(f"{base}/topology/thread_siblings_list", str(cpu))
            self.link(f"sys/devices/system/node/node{cpu // 2}/cpu{cpu}", base)
        self.put("sys/bus/pci/drivers_probe", "")
        self.nic("0000:01:00.0", "eth0", "ixgbe", node=0, group=11)
        self.nic("0000:02:00.0", "eth1", "i40e", node=1, group=12)
        self.nic("0000:03:00.0", "eth2", "mlx5_core", node=1, group=13)

    def cleanup(self):
        self._folder.cleanup()

    def _put(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def put(self, path, text):
        self._put(self.root / path, text)

    def text(self, path):
        return (self.root / path).read_text().rstrip("\n")

    def link(self, path, target):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).symlink_to(self.root / target)

    def route(self, interface):
        self.put("proc/net/route",
                 "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
                 f"{interface}\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\n"
                 "eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF")

    def nic(self, pci, name, driver, node, group):
        device = f"sys/bus/pci/devices/{pci}"
        for file, text in (("class", "0x020000"), ("numa_node", str(node)), ("driver_override", ""),
                           ("native", driver)):
            self.put(f"{device}/{file}", text)
        for one in (driver, "vfio-pci"):
            self.put(f"sys/bus/pci/drivers/{one}/unbind", "")
        self.link(f"{device}/driver", f"sys/bus/pci/drivers/{driver}")
        self.link(f"{device}/iommu_group", f"sys/kernel/iommu_groups/{group}")
        self.link(f"sys/kernel/iommu_groups/{group}/devices/{pci}", device)
        for file, text in (("flags", "0x1002"), ("mtu", "1500"), ("operstate", "down"),
                           ("address", "02:00:00:00:00:01")):
            self.put(f"sys/class/net/{name}/{file}", text)
        # virtio has a device between the two.
        (self.root / device / "between").mkdir()
        self.link(f"sys/class/net/{name}/device", f"{device}/between")

    def driver(self, pci):
        return (self.root / "sys/bus/pci/devices" / pci / "driver").readlink().name

    def run(self, *args, ssh=None):
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "SOTTO_ROOT": str(self.root)}
        if ssh:
            environment["SSH_CONNECTION"] = ssh
        self.calls_file.write_text("")
        return subprocess.run(["bash", SCRIPT, *args], env=environment, capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL)

    def changes(self):
        """The calls of the last run that change something."""
        return [call for call in self.calls_file.read_text().splitlines()
                if not call.startswith(ASKS)]

    def snapshot(self):
        # Files that answer nothing when they are read: the kernel's, written to bind.
        written = {"drivers_probe", "unbind", "driver_override"}
        return {str(path.relative_to(self.root)):
                os.readlink(path) if path.is_symlink() else path.read_text()
                for path in self.root.rglob("*")
                if (path.is_symlink() or path.is_file()) and path.name not in written}


class HostPrepare(unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.addCleanup(self.host.cleanup)
        self.before = self.host.snapshot()

    def done(self, *args, code=0, **kwargs):
        done = self.host.run(*args, **kwargs)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return " ".join(done.stdout.split())

    def refused(self, *args, says, **kwargs):
        done = self.host.run(*args, **kwargs)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(says, " ".join(done.stderr.split()))
        self.assertEqual(self.host.snapshot(), self.before)
        self.assertEqual(self.host.changes(), [])

    def undo(self):
        self.done("--undo")
        self.assertEqual(self.host.snapshot(), self.before)

    everything = ("--nic", "0000:02:00.0", "--interface", "eth2", "--queues", "2", "--cpus", "2-3")

    def test_without_apply_nothing_changes(self):
        said = self.done(*self.everything)
        self.assertEqual(self.host.snapshot(), self.before)
        self.assertEqual(self.host.changes(), [])
        for part in ("nr_hugepages: 16 -> 512", "bind 0000:02:00.0 to vfio-pci (now: i40e)",
                     "write /etc/systemd/system/sotto-host.service", "ethtool -L eth2 combined 2",
                     "Nothing was changed; --apply does it."):
            self.assertIn(part, said)

    def test_all_that_is_applied_is_undone(self):
        self.host.put("run/irqbalance", "")
        self.before = self.host.snapshot()
        self.done("--apply", *self.everything)
        self.assertNotEqual(self.host.snapshot(), self.before)
        self.undo()
        self.assertEqual(self.host.driver("0000:02:00.0"), "i40e")
        self.assertIn("Nothing to undo", self.done("--undo"))

    def test_applied_twice_is_applied_once(self):
        self.done("--apply", *self.everything)
        once = self.host.snapshot()
        said = self.done("--apply", "--nic", "0000:02:00.0", "--interface", "eth2", "--queues", "2",
                         "--cpus", "2-3")
        self.assertNotIn("bind 0000", said)
        self.assertNotIn("+ write", said)
        self.assertEqual(self.host.snapshot(), once)
        self.undo()

    def test_hugepages_on_the_node_of_the_nic(self):
        self.done("--apply", "--nic", "02:00.0", "--hugepages", "301")
        self.assertEqual(self.host.text(PAGES.format(1)), "151")
        self.assertEqual(self.host.text(PAGES.format(0)), "16")
        self.assertIn(f"w /{PAGES.format(1)} - - - - 151",
                      self.host.text("etc/tmpfiles.d/sotto-host.conf"))

    def test_hugepages_that_suffice_stay(self):
        said = self.done("--apply", "--hugepages", "32")
        self.assertIn("Enough for 32 MB", said)
        self.assertEqual(self.host.text(PAGES.format(0)), "16")

    def test_hugepages_that_the_kernel_does_not_find(self):
        pages = self.host.root / PAGES.format(0)
        pages.unlink()
        pages.symlink_to("/dev/null")
        said = self.done("--apply", code=1)
        self.assertIn("the kernel found 0 pages of 512", said)

    def test_nic_is_bound_and_comes_back_at_boot(self):
        self.done("--apply", "--nic", "0000:02:00.0", "--hugepages", "0")
        self.assertEqual(self.host.driver("0000:02:00.0"), "vfio-pci")
        self.assertIn("modprobe vfio-pci", self.host.changes())
        self.assertIn("systemctl --quiet enable sotto-host.service", self.host.changes())
        self.assertTrue(self.host.text("etc/modules-load.d/sotto.conf").endswith("\nvfio-pci"))
        self.assertIn('GROUP="sotto"', self.host.text("etc/udev/rules.d/60-sotto-vfio.rules"))
        unit = self.host.text("etc/systemd/system/sotto-host.service")
        self.assertIn("echo 0000:02:00.0 >/sys/bus/pci/drivers_probe", unit)
        self.assertNotIn("$", unit)

    def test_written_units_are_valid(self):
        analyze = shutil.which("systemd-analyze")
        self.assertIsNotNone(analyze, "systemd-analyze is missing: apt-get install systemd")
        self.done("--apply", *self.everything)
        unit = self.host.root / "etc/systemd/system/sotto-host.service"
        done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("sotto-host", done.stderr)

    def test_every_written_file_says_who_wrote_it(self):
        self.host.put("run/irqbalance", "")
        self.done("--apply", *self.everything)
        written = [path for path in (self.host.root / "etc").rglob("*") if path.is_file()]
        self.assertEqual(len(written), 5)
        for path in written:
            self.assertIn("Written by sotto-host-prepare", path.read_text().splitlines()[0], path)

    def test_the_way_to_the_machine_is_refused(self):
        way = "is how this machine is reached"
        self.refused("--apply", "--nic", "0000:01:00.0", says=way)
        self.refused("--apply", "--interface", "eth0", says=way)
        self.refused("--nic", "0000:01:00.0", says=way)
        self.refused("--apply", "--interface", "eth1", says=way,
                     ssh="192.0.2.9 50000 198.51.100.7 22")

    def test_the_way_to_the_machine_over_ipv6_is_refused(self):
        zero = "0" * 32
        self.host.put("proc/net/ipv6_route",
                      f"{zero} 00 {zero} 00 fe80{'0' * 27}1 00000400 1 0 00000003     eth1")
        self.before = self.host.snapshot()
        self.refused("--apply", "--nic", "0000:02:00.0", says="is how this machine is reached")

    def test_what_the_way_to_the_machine_stands_on_is_refused(self):
        self.host.route("bond0.7")
        self.host.put("sys/class/net/bond0.7/flags", "0x1003")
        self.host.link("sys/class/net/bond0.7/lower_bond0", "sys/class/net/bond0")
        self.host.put("sys/class/net/bond0/flags", "0x1003")
        self.host.link("sys/class/net/bond0/lower_eth1", "sys/class/net/eth1")
        self.before = self.host.snapshot()
        self.refused("--apply", "--nic", "0000:02:00.0", says="is how this machine is reached")
        self.done("--nic", "0000:01:00.0")

    def test_a_refusal_comes_before_the_first_change(self):
        self.refused("--apply", "--hugepages", "64", "--nic", "0000:02:00.0",
                     "--nic", "0000:09:00.0", says="there is no PCI device 0000:09:00.0")

    def test_no_iommu_is_refused(self):
        (self.host.root / "sys/bus/pci/devices/0000:02:00.0/iommu_group").unlink()
        self.before = self.host.snapshot()
        self.refused("--apply", "--nic", "0000:02:00.0", says="is in no IOMMU group")

    def test_a_shared_iommu_group_goes_as_a_whole(self):
        self.host.nic("0000:02:00.1", "eth3", "i40e", node=1, group=12)
        self.before = self.host.snapshot()
        self.refused("--apply", "--nic", "0000:02:00.0",
                     says="0000:02:00.1 is in the same IOMMU group as 0000:02:00.0 and "
                          "in use by i40e")
        self.done("--apply", "--nic", "0000:02:00.0", "--nic", "0000:02:00.1")
        self.assertEqual(self.host.driver("0000:02:00.1"), "vfio-pci")
        self.undo()

    def test_mlx5_is_not_bound(self):
        said = self.done("--apply", "--nic", "0000:03:00.0", "--hugepages", "0")
        self.assertIn("shares the NIC with the kernel: nothing is bound", said)
        self.assertEqual(self.host.driver("0000:03:00.0"), "mlx5_core")
        self.assertFalse((self.host.root / "etc/udev").exists())
        self.assertEqual(self.host.changes(), ["modprobe -a ib_uverbs mlx5_ib"])

    def test_interface(self):
        said = self.done("--apply", "--interface", "eth1", "--queues", "6", "--hugepages", "0")
        self.assertIn("The kernel has addresses here: 203.0.113.5/24", said)
        for call in ("ip link set dev eth1 up promisc on",
                     "ethtool -K eth1 generic-receive-offload off", "ethtool -L eth1 combined 6"):
            self.assertIn(call, self.host.changes())
        unit = self.host.text("etc/systemd/system/sotto-host.service")
        self.assertIn("\nWants=sys-subsystem-net-devices-eth1.device\n", unit)
        self.assertIn("\nExecStart=ethtool -L eth1 combined 6\n", unit)
        # It can't be turned off, so it isn't tried.
        self.assertNotIn("ethtool -K eth1 large-receive-offload off", self.host.changes())
        self.done("--undo")
        self.assertEqual([c for c in self.host.changes() if not c.startswith("systemctl")],
                         ["ethtool -L eth1 combined 4",
                          "ethtool -K eth1 generic-receive-offload on",
                          "ip link set dev eth1 down promisc off"])

    def test_more_queues_than_there_are(self):
        self.refused("--apply", "--interface", "eth1", "--queues", "9",
                     says="eth1 has 8 queue pairs at most")

    def test_cpus(self):
        self.host.put("run/irqbalance", "")
        said = self.done("--apply", "--cpus", "2,3", "--hugepages", "2048", "--nic", "0000:02:00.0")
        governor = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
        self.assertEqual([self.host.text(governor.format(cpu)) for cpu in range(4)],
                         ["schedutil", "schedutil", "performance", "performance"])
        self.assertIn("Environment=IRQBALANCE_BANNED_CPULIST=2,3",
                      self.host.text("etc/systemd/system/irqbalance.service.d/sotto.conf"))
        self.assertIn("systemctl restart irqbalance", self.host.changes())
        self.assertIn('workers = 2; in [dataplane] eal_args "--lcores=0@0,1@2,2@3"', said)
        for argument in ("isolcpus=managed_irq,domain,2,3", "nohz_full=2,3", "rcu_nocbs=2,3",
                         "default_hugepagesz=1G", "hugepages=2", "intel_iommu=on"):
            self.assertIn(f" {argument} ", said)
        # It is there already.
        self.assertNotIn("iommu=pt the", said)
        self.assertNotIn("crosses between them", said)

    def test_cpus_far_from_the_nic_or_of_one_core(self):
        for cpu in (0, 1):
            self.host.put(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", "0-1")
        said = self.done("--cpus", "0-1", "--nic", "0000:02:00.0")
        self.assertIn("CPU 0 is on node 0, 0000:02:00.0 isn't", said)
        self.assertIn("CPU 0 is one of two threads of a core (0-1)", said)

    def test_files_of_others_stay(self):
        self.host.put("etc/tmpfiles.d/sotto-host.conf", "# mine")
        said = self.done("--apply", code=1)
        self.assertIn("sotto-host.conf is there, and somebody else wrote it", said)
        self.assertEqual(self.host.text("etc/tmpfiles.d/sotto-host.conf"), "# mine")

    def test_undo_leaves_what_became_somebody_elses(self):
        self.done("--apply")
        self.host.put("etc/tmpfiles.d/sotto-host.conf", "# mine now")
        self.assertIn("is somebody else's by now, and stays", self.done("--undo"))
        self.assertEqual(self.host.text("etc/tmpfiles.d/sotto-host.conf"), "# mine now")

    def test_wrong_usage(self):
        for args, says in ((("--nic", "eth0"), "a PCI address is wanted"),
                           (("--nic",), "--nic needs a value"),
                           (("--hugepages", "lots"), "a number is wanted"),
                           (("--cpus", "2;reboot"), "a list of CPUs is wanted"),
                           (("--cpus", "7"), "there is no CPU 7"),
                           (("--interface", "../x"), "the name of an interface is wanted"),
                           (("--interface", "eth9"), "there is no interface eth9"),
                           (("--force",), "there is no --force")):
            self.refused(*args, says=says)


if __name__ == "__main__":
    unittest.main(verbosity=2)
