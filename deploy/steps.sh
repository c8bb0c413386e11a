# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Runs the steps of a script one after another and shows how far they are. For scripts that source
# it: quickstart.sh, packages.sh.
#
#   steps_log=FILE     takes what the steps print
#   exec 3>&1          what is shown goes to file descriptor 3
#   step NAME COMMAND...
#
# A step that runs for long shows the time so far, and how much of it is done where ninja says so:
# on a terminal in one line that is rewritten, elsewhere in one line every half minute.

: "${steps_log:?}"
steps_every=30  # seconds between lines where there is no terminal
export NINJA_STATUS='[%f/%t] '

# Runs the command, and shows nothing of what it prints unless it fails: then its last lines go to
# standard error, and the script ends with 1. (In a function that is run so, set -e has no effect.)
step() { # NAME COMMAND...
  local name=$1 began=$SECONDS before line
  shift
  before=$(stat -c %s "$steps_log")
  # It is ended at any moment, and bash may say of that what no reader needs.
  _steps_show "$name" "$before" 2>/dev/null &
  local show=$!
  # The command stays in the foreground, so that Ctrl-C reaches it.
  # shellcheck disable=SC2064  # this very process
  trap "kill $show 2>/dev/null" EXIT
  local result=0
  "$@" >>"$steps_log" 2>&1 </dev/null 3>&- || result=$?
  kill "$show" 2>/dev/null || true
  wait "$show" 2>/dev/null || true
  trap - EXIT
  line="done in $((SECONDS - began)) s"
  [ $result = 0 ] || line="failed after $((SECONDS - began)) s"
  if [ -t 3 ]; then
    printf '\r  %-12s%-40s\n' "$name" "$line" >&3
  else
    printf '  %-12s%s\n' "$name" "$line" >&3
  fi
  [ $result != 0 ] || return 0
  tail -n 40 "$steps_log" >&2
  echo "${0##*/}: '$name' failed; the whole log is $steps_log" >&2
  exit 1
}

_steps_show() { # NAME, and how long the log was before
  local name=$1 before=$2 parent=$$ began=$SECONDS every=$steps_every waits='' done_part
  [ ! -t 3 ] || every=1
  trap '[ -z "$waits" ] || kill "$waits" 2>/dev/null; exit' HUP INT TERM
  [ ! -t 3 ] || printf '\r  %-12s' "$name" >&3
  while kill -0 "$parent" 2>/dev/null; do
    sleep "$every" 3>&- >/dev/null 2>&1 &
    waits=$!
    wait "$waits"
    done_part=$(tail -c "+$((before + 1))" "$steps_log" | tail -c 20000 |
      sed -nE 's/^\[([0-9]+)\/([0-9]+)\] .*/\1 \2/p' | tail -n 1)
    [ -z "$done_part" ] || done_part="$((100 * ${done_part% *} / ${done_part#* })) %, "
    if [ -t 3 ]; then
      printf '\r  %-12s%-40s' "$name" "$done_part$((SECONDS - began)) s" >&3
    else
      printf '  %-12s%s\n' "$name" "$done_part$((SECONDS - began)) s so far" >&3
    fi
  done
}
