# SPDX-License-Identifier: Apache-2.0
"""Fifty calls at 20,000 packets a second: nothing lost, nothing corrupted."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import SANITIZED
from lab.loadgen import Calls, check_clean
from lab.test_case import LabTest, main

CALLS = 50
PPS = 4_000 if SANITIZED else 20_000
SECONDS = 3
# With a sanitizer the machine may not keep up; that nothing is lost is what counts then.
LEAST = (0.2 if SANITIZED else 0.8) * PPS * SECONDS


class FiftyCalls(LabTest):
    def test_over_ipv4(self):
        self._check(family=4)

    def test_over_ipv6(self):
        self._check(family=6, extra=("--family", "6"))

    def test_with_send_indications(self):
        self._check(family=4, extra=("--send-indications",))

    def test_between_families(self):
        """Clients over IPv4, relayed over both."""
        self._check(family=4, extra=("--family", "both"))

    def test_with_large_packets(self):
        self._check(family=4, payload=1400)

    def _check(self, **options):
        calls = Calls(self.relay, self.alice, self.bob, CALLS, PPS, SECONDS, **options)
        report = calls.report()
        check_clean(self, report, CALLS)
        self.assertGreater(report["sent"], LEAST, "the generator was too slow")


if __name__ == "__main__":
    main()
