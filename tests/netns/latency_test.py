"""Fifty calls at 20,000 packets a second: the p99 of one-way latency is below that of Debian's
coturn, measured beside it in the same lab, turn by turn.

SOTTO_LATENCY_SECONDS (5) and SOTTO_LATENCY_ROUNDS (3) set how much is measured.
"""

import os
import statistics
import unittest

import relays
from loadgen import Calls, check_clean
from netns_test import LabTest, main
from relays import start_coturn

CALLS, PPS = 50, 20_000
SECONDS = float(os.environ.get("SOTTO_LATENCY_SECONDS", "5"))
ROUNDS = int(os.environ.get("SOTTO_LATENCY_ROUNDS", "3"))


@unittest.skipIf(relays.IS_COTURN, "coturn is not faster than itself")
class Latency(LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.coturn = start_coturn(cls.lab)

    def test_p99_is_below_that_of_coturn(self):
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
        self.assertLess(ours, theirs)


if __name__ == "__main__":
    main()
