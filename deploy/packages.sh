#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian packages (sotto-relayd, sotto-signald, sotto-tools) for this release of Debian,
# and prints where they are. By default they run on any x86-64 CPU since 2009.
#
#   deploy/packages.sh               into build/package/packages
#   deploy/packages.sh --cpu NAME    for this CPU and its successors, as in g++ -march=NAME, such as
#                                    x86-64-v3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cpu=x86-64-v2
while [ $# -gt 0 ]; do
  case $1 in
    --cpu)
      [ $# -gt 1 ] || { echo "packages.sh: --cpu needs a value; see --help." >&2; exit 2; }
      cpu=$2
      shift
      ;;
    -h | --help)
      sed -n '/^#!/d; /^# SPDX-/d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    *)
      echo "packages.sh: there is no $1; see --help." >&2
      exit 2
      ;;
  esac
  shift
done

mkdir -p build
steps_log=$PWD/build/package.log
: >"$steps_log"
exec 3>&2
# shellcheck source=deploy/steps.sh
. deploy/steps.sh

export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
step install deploy/install-deps.sh build web package
step configure cmake --preset package -DSOTTO_CPU="$cpu"
step build cmake --build --preset package
rm -f build/package/packages/*.deb
step packages env -C build/package cpack
ls "$PWD"/build/package/packages/*.deb
