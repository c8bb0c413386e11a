#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test: installs what is missing, builds, runs ctest, prints one summary.
#
#   tests/run.sh                     all presets below; as root (network namespaces)
#   tests/run.sh --quick             unit tests of the dev preset alone; needs no root
#   tests/run.sh --preset NAME       this preset; may be given several times
#   tests/run.sh -R REGEX            only tests whose name matches, as in ctest
#   tests/run.sh --second-try        what fails is run once more; what passes then is named
#   tests/run.sh --clean-machines    also on clean machines of each Debian release
#
#   release   unit, system, latency, browser, package tests  asan   unit and system tests
#   fuzz      each libFuzzer target for some seconds         tsan   unit tests of relay/, signaling/
#
# What each preset printed is in build/<preset>/tests.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

presets=()
filter=()
quick=no
clean=no
repeat=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=yes ;;
    --second-try) repeat=(--repeat until-pass:2) ;;
    --clean-machines) clean=yes ;;
    --preset | -R)
      [ $# -gt 1 ] || { echo "run.sh: $1 needs a value; see --help." >&2; exit 2; }
      if [ "$1" = -R ]; then filter=(-R "$2"); else presets+=("$2"); fi
      shift
      ;;
    -h | --help)
      sed -n '/^#!/d; /^# SPDX-/d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    *)
      echo "run.sh: there is no $1; see --help." >&2
      exit 2
      ;;
  esac
  shift
done
if [ ${#presets[@]} = 0 ]; then
  if [ $quick = yes ]; then presets=(dev); else presets=(release asan fuzz tsan); fi
fi
if [ $quick = no ] && [ "$(id -u)" != 0 ]; then
  echo "run.sh: system tests need root; run it with sudo, or with --quick for unit tests." >&2
  exit 1
fi

if [ $quick = yes ]; then
  deploy/install-deps.sh build web unit
else
  deploy/install-deps.sh
fi

build() { # PRESET
  cmake --preset "$1" >"build/$1.configure.log" 2>&1 || { cat "build/$1.configure.log"; return 1; }
  local targets=(all)
  case $1 in
    fuzz)
      mapfile -t targets < <(ctest --test-dir build/fuzz -N -L fuzz | sed -n 's/^.*: fuzz\.//p')
      ;;
  esac
  cmake --build "build/$1" --target "${targets[@]}"
}

test_preset() { # PRESET
  local select=("${filter[@]}") without=
  # They take half an hour where nothing of the other release is compiled yet.
  [ $clean = yes ] || without+="|clean_machine"
  [ $quick = no ] || without+="|root|fuzz|deploy|tidy"
  case $1 in
    fuzz) select+=(-L fuzz) ;;
    # Unit tests: of what the daemons link, gRPC isn't built for ThreadSanitizer. And not those that
    # have one thread and a long way to go, or whose children change what they are.
    tsan)
      without+="|loopback"
      select+=(-E "^(process_test|switchboard_search_test)$")
      ;;
  esac
  [ -z "$without" ] || select+=(-LE "^(${without#|})$")
  ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j "$(nproc)" \
    "${repeat[@]}" "${select[@]}"
}

mkdir -p build
# Clones of this repository share what is compiled, wherever they lie.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export TSAN_OPTIONS=halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
summary=()
failed=no
for preset in "${presets[@]}"; do
  began=$SECONDS
  echo "== $preset"
  if ! build "$preset" 2>&1 | tee "build/$preset.build.log"; then
    summary+=("$preset: does not build: $(grep -m 3 -E 'error:|FAILED:|CMake Error' "build/$preset.build.log" | cut -c 1-300)")
    failed=yes
    continue
  fi
  built=$((SECONDS - began))
  log=build/$preset/tests.log
  test_preset "$preset" 2>&1 | tee "$log" || failed=yes
  result=$(grep -E '% tests passed|No tests were found' "$log" || echo "ctest did not finish")
  # By name, with the last that they said: whoever reads this may have these lines alone.
  while read -r name; do
    if grep -qE " Test +#[0-9]+: ${name//./\\.} \.+ +Passed" "$log"; then
      result+=$'\n'"  $name passed at the second try; at the first it ended:"$'\n'
    else
      result+=$'\n'"  $name failed; it ended:"$'\n'
    fi
    result+=$(sed -nE "/ Test +#[0-9]+: ${name//./\\.} \.+\**[A-Z]/,/^( *[0-9]+\/[0-9]+ Test| +Start)/p" "$log" |
      grep -v '^ *$' | tail -n 25 | cut -c 1-300 | sed 's/^/    /')
  done < <(sed -nE '/Skipped/d; s/^.* Test +#[0-9]+: ([^ ]+) \.*\*\*\*.*/\1/p' "$log" | sort -u)
  # A test that didn't run shows nothing: as root, all can.
  if [ $quick = no ] && grep -qE '\*\*\*(Skipped|Not Run)' "$log"; then
    result+="; some were skipped"
    failed=yes
  fi
  summary+=("$preset: $result (built in $built s, ran for $((SECONDS - began - built)) s)")
done

echo
echo "== summary"
printf '%s\n' "${summary[@]}"
[ $failed = no ]
