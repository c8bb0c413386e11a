# SPDX-License-Identifier: Apache-2.0
"""Fifty calls at 20,000 packets a second through sotto-relayd and through Debian's coturn, turn by
turn in the same lab: nothing is lost or corrupted, and the p99 of one-way latency is printed.

SOTTO_LATENCY_SECONDS (5) and SOTTO_LATENCY_ROUNDS (2) set how much is measured. On a machine that
has nothing else to do, SOTTO_LATENCY_STRICT=1 also demands that sotto-relayd's p99 is the lower
one.
"""

import os
import pathlib
import statistics
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import relays
from lab.loadgen import Calls, check_clean
from lab.relays import start_coturn
from lab.test_case import LabTest, main

CALLS, PPS = 50, 20_000
SECONDS = float(os.environ.get("SOTTO_LATENCY_SECONDS", "5"))
ROUNDS = int(os.environ.get("SOTTO_LATENCY_ROUNDS", "2"))


@unittest.skipIf(relays.IS_COTURN, "coturn is not faster than itself")
class Latency(LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.coturn = start_coturn(cls.lab)

    def test_fifty_calls_beside_coturn(self):
        p99 = {self.relay: [], self.coturn: []}
        for _ in range(ROUNDS):
            for relay, values in p99.items():
                report = Calls(relay, self.alice, self.bob, CALLS, PPS, SECONDS,
                               extra=("--warmup", "1")).report()
                if relay is self.relay:
                    check_clean(self, report, CALLS)
                values.append(report["latency_us"]["p99"])
        ours, theirs = (statistics.median(p99[r]) for r in (self.relay, self.coturn))
        print(f"p99 one way, median of {ROUNDS}: sotto-relayd {ours:.0f} us {p99[self.relay]}, "
              f"coturn {theirs:.0f} us {p99[self.coturn]}")
        if os.environ.get("SOTTO_LATENCY_STRICT"):
            self.assertLess(ours, theirs)


if __name__ == "__main__":
    main()
