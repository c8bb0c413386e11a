#!/bin/bash
# From a fresh clone to the whole story in one command: installs what is missing, builds, starts
# sotto-relayd and sotto-signald on a network of namespaces, and lets four people call each other.
#
#   deploy/quickstart.sh            tells the story, then cleans up
#   deploy/quickstart.sh --keep     leaves all on, and prints the page's address
#   deploy/quickstart.sh --stop     ends what --keep left
#   deploy/quickstart.sh --json     prints one object instead of words
#
# Needs root on Debian 12. Touches nothing of this machine's own network, except that --keep adds one
# link (sotto-quick) with a route to 192.0.2.0/24, so that a browser of this machine reaches the page.
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

log=$(mktemp -t sotto-quickstart.XXXXXX.log)
step() { # NAME COMMAND...: quiet if it works, its whole story if it doesn't
  local name=$1 began=$SECONDS
  shift
  [ $json = yes ] || printf '  %-12s' "$name"
  if ! "$@" >>"$log" 2>&1 </dev/null; then
    [ $json = yes ] || echo "failed"
    tail -n 40 "$log" >&2
    echo "quickstart.sh: '$name' failed; the whole log is $log" >&2
    exit 1
  fi
  [ $json = yes ] || echo "done in $((SECONDS - began)) s"
}
build() {
  cd "$root"
  cmake --preset release
  cmake --build build/release --target sotto-relayd sotto-signald sotto-phone
}
web() {
  cmake --build "$root/build/release" --target sotto_web
}

if [[ " $* " != *" --stop "* ]]; then
  [ $json = yes ] || echo
  step install "$root/deploy/install-deps.sh" build run
  step build build
  step page web
fi
rm -f "$log"
SOTTO_BIN=$root/build/release/bin exec python3 -B "$root/deploy/quickstart_call.py" "$@"
