#!/bin/sh
# Installs what Sotto needs from Debian 12's own packages; does nothing where all is there.
#
#   deploy/install-deps.sh [build] [run] [web] [package] [test]   the sections wanted; all unless told
#   deploy/install-deps.sh --list [SECTION...]      prints the packages, one a line
#
# This is the only list of Sotto's dependencies.
set -eu

build="
  cmake g++ ninja-build ccache pkg-config
  libabsl-dev libbenchmark-dev libboost1.81-dev libcap-dev libcli11-dev libdpdk-dev libfmt-dev
  libgmock-dev libgrpc++-dev libgtest-dev libjansson-dev libjwt-dev libprotobuf-dev libseccomp-dev libsodium-dev
  libspdlog-dev libsqlite3-dev libssl-dev libsystemd-dev libtomlplusplus-dev nlohmann-json3-dev
  prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc"
# What deploy/quickstart.sh lays its network with.
run="ca-certificates ethtool iproute2 procps python3 tcpdump"
# The page is built with npm; one that came from elsewhere (with a newer Node.js) serves as well, and
# Debian's would be in its way.
web=
command -v npm >/dev/null 2>&1 || web="nodejs npm"
# What cpack makes Debian packages with.
package="dpkg-dev file"
# libclang-rt-14-dev and llvm: fuzz targets and readable sanitizer reports. coturn, chromium: the
# clients and the relay that Sotto is tested against. python3-grpcio, openssl: a client of call control.
# prometheus: scrapes the daemons, and brings promtool. tmux, zsh: a terminal and a shell for sottoctl.
# debootstrap, lintian, systemd-container: what packages are tried in and with. shellcheck: deploy/host-prepare.sh.
test="
  chromium chromium-driver clang clang-format clang-tidy pyflakes3 coturn dpdk-dev libclang-rt-14-dev llvm openssl prometheus
  debootstrap lintian python3-grpcio python3-protobuf shellcheck systemd-container tmux zsh"

list=no
if [ "${1-}" = --list ]; then
  list=yes
  shift
fi
wanted=
[ $# -gt 0 ] || set -- build run web package test
for section in "$@"; do
  case $section in
    build) wanted="$wanted $build" ;;
    run) wanted="$wanted $run" ;;
    web) wanted="$wanted $web" ;;
    package) wanted="$wanted $package" ;;
    test) wanted="$wanted $test" ;;
    *)
      echo "install-deps.sh: '$section' is no section; there are: build, run, web, package, test." >&2
      exit 2
      ;;
  esac
done
if [ "$list" = yes ]; then
  # shellcheck disable=SC2086  # a list of words
  printf '%s\n' $wanted
  exit
fi

missing=
for package in $wanted; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "install-deps.sh: these packages are missing; install them, or run this as root:$missing" >&2
  exit 1
fi

# A machine that only builds and tests must not end up with coturn as a service on port 3478, nor
# with anything else started by an installation.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing$missing"
apt-get update -qq
# shellcheck disable=SC2086  # a list of words
apt-get install -y -qq --no-install-recommends $missing
[ -d /run/systemd/system ] || exit 0
for service in coturn prometheus; do
  case " $missing " in
    *" $service "*) systemctl disable --quiet $service.service ;;
  esac
done
