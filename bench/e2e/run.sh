#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sotto-relayd beside dpdk-testpmd and coturn on two cores: throughput, latency, memory, set-ups.
# From a fresh clone, as root:  bench/e2e/run.sh [--quick] [--json] [--help]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
case " $* " in *" --bin"* | *" --help "* | *" -h "*) ;; *)
  cmake -S "$root" --preset release >/dev/null
  cmake --build "$root/build/release" --target sotto-relayd sotto-loadgen sotto-bench-dataplane \
    sotto-bench-server >&2
esac
for tool in dpdk-testpmd turnserver ip ethtool taskset; do
  command -v $tool >/dev/null && continue
  echo "run.sh: $tool is missing; deploy/install-deps.sh brings it" >&2
  exit 2
done
exec python3 -B "$root/bench/e2e/e2e.py" "$@"
