#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Sotto needs from Debian's own packages, on Debian 12 and 13; does nothing where all
# of it is there.
#
#   deploy/install-deps.sh [SECTION...]             installs these sections; all of them by default
#   deploy/install-deps.sh --list [SECTION...]      prints their packages, one a line
#
#   build    what the daemons and tools are compiled with
#   run      what deploy/quickstart.sh lays its network with
#   web      npm, which builds the web client
#   package  what deploy/packages.sh makes packages with
#   unit     what unit tests and benchmarks need besides (tests/run.sh --quick)
#   test     what all other tests need besides
#
# This is the only list of Sotto's dependencies.
set -eu

os_release() { # FIELD
  sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" \
    "${SOTTO_OS_RELEASE:-/etc/os-release}" 2>/dev/null || true
}

# The release decides what Boost is called; all other names are the same on both.
case "$(os_release ID) $(os_release VERSION_ID)" in
  "debian 12") boost=libboost1.81-dev ;;
  "debian 13") boost=libboost1.83-dev ;;
  *) boost= ;;
esac

build="
  cmake g++ ninja-build ccache pkg-config
  libabsl-dev ${boost:-libboost-dev} libcap-dev libcli11-dev libdpdk-dev libfmt-dev libgrpc++-dev
  libjansson-dev libjwt-dev libprotobuf-dev libseccomp-dev libsodium-dev libspdlog-dev
  libsqlite3-dev libssl-dev libsystemd-dev libtomlplusplus-dev nlohmann-json3-dev
  prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc"
run="ca-certificates ethtool iproute2 procps python3 tcpdump"
# An npm that came from elsewhere (with a newer Node.js) serves as well, and Debian's would be in
# its way. npm fetches packages over TLS.
web=ca-certificates
command -v npm >/dev/null 2>&1 || web="$web nodejs npm"
package="dpkg-dev file"
# groff-base: sottoctl's man page. openssl, python3-grpcio: clients of the daemons.
unit="groff-base libbenchmark-dev libgmock-dev libgtest-dev openssl python3 python3-grpcio python3-protobuf"
# libclang-rt-dev and llvm: fuzz targets and readable sanitizer reports. coturn, chromium: the
# clients and the relay that Sotto is tested against. prometheus: scrapes the daemons, and brings
# promtool. tmux, zsh: a terminal and a shell for sottoctl. debootstrap, git, lintian,
# systemd-container: what packages and clean machines are tried in and with. clang-format,
# clang-tidy, pyflakes3, shellcheck: tests/lint.
test="
  chromium chromium-driver clang clang-format clang-tidy coturn debootstrap dpdk-dev git
  libclang-rt-dev lintian llvm prometheus pyflakes3 shellcheck systemd-container tmux zsh"

list=no
if [ "${1-}" = --list ]; then
  list=yes
  shift
fi
wanted=
[ $# -gt 0 ] || set -- build run web package unit test
for section in "$@"; do
  case $section in
    build) wanted="$wanted $build" ;;
    run) wanted="$wanted $run" ;;
    web) wanted="$wanted $web" ;;
    package) wanted="$wanted $package" ;;
    unit) wanted="$wanted $unit" ;;
    test) wanted="$wanted $test" ;;
    *)
      echo "install-deps.sh: '$section' is no section; there are: build, run, web, package, unit, test." >&2
      exit 2
      ;;
  esac
done
if [ "$list" = yes ]; then
  # shellcheck disable=SC2086  # a list of words
  printf '%s\n' $wanted | sort -u
  exit
fi

if [ -z "$boost" ]; then
  name=$(os_release PRETTY_NAME)
  echo "install-deps.sh: this machine runs ${name:-an unknown system}; packages are known for Debian 12 (bookworm)" \
    "and 13 (trixie) alone. Elsewhere, install by hand what --list names, with Boost 1.81 and DPDK 22.11" \
    "or newer." >&2
  exit 1
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
