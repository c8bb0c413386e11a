#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to the whole story in one command: installs what is missing, builds, starts
# sotto-relayd and sotto-signald on a network of namespaces, and lets four people call each other.
#
#   deploy/quickstart.sh            tells the story, then cleans up
#   deploy/quickstart.sh --keep     leaves all on, and prints the page's address
#   deploy/quickstart.sh --stop     ends what --keep left
#   deploy/quickstart.sh --json     prints one object instead of words
#
# Needs root on Debian 12 or 13. Touches nothing of this machine's own network, except that --keep
# adds one link (sotto-quick) with a route to 192.0.2.0/24, so that a browser of this machine
# reaches the page.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '/^#!/d; /^# SPDX-/d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

json=no
for argument in "$@"; do
  case $argument in
    --json) json=yes ;;
    --keep | --stop) ;;
    -h | --help)
      usage
      exit
      ;;
    *)
      echo "quickstart.sh: there is no $argument; see --help." >&2
      exit 2
      ;;
  esac
done
if [ "$(id -u)" != 0 ]; then
  echo "quickstart.sh: network namespaces and packages need root; run it with sudo." >&2
  exit 1
fi

steps_log=$(mktemp -t sotto-quickstart.XXXXXX.log)
exec 3>&1
[ $json = no ] || exec 3>/dev/null
# shellcheck source=deploy/steps.sh
. "$root/deploy/steps.sh"
# In a folder of its own: one that a developer has configured with tests stays as it is.
readonly BUILD=$root/build/quickstart
configure_and_build() {
  cmake -S "$root" --preset quickstart &&
    cmake --build "$BUILD" --target sotto-relayd sotto-signald sotto-phone
}

if [[ " $* " != *" --stop "* ]]; then
  [ $json = yes ] || echo
  step install "$root/deploy/install-deps.sh" build run web
  step build configure_and_build
  step page cmake --build "$BUILD" --target sotto_web
fi
rm -f "$steps_log"
SOTTO_BIN=$BUILD/bin exec python3 -B "$root/deploy/quickstart_call.py" "$@"
