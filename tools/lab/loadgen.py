# SPDX-License-Identifier: Apache-2.0
"""sotto-loadgen between two hosts of a lab."""

import json
import subprocess

from .environment import BIN
from .processes import LabError
from .relays import PASSWORD, USER


class Calls:
    """`sotto-loadgen calls`, started: leg A in one host, leg B in another, one clock."""

    def __init__(self, relay, a, b, calls, pps, seconds, family=4, payload=160, extra=()):
        address, port = relay.endpoint[family]
        server = f"[{address}]:{port}" if family == 6 else f"{address}:{port}"
        self._seconds = seconds
        self._process = subprocess.Popen(
            [str(x) for x in (
                BIN / "sotto-loadgen", "calls", "--server", server, "--user", USER, "--password",
                PASSWORD, "--local", f"{a.ip[family]},{b.ip[family]}", "--netns",
                f"{a.netns},{b.netns}", "--calls", calls, "--pps", pps, "--seconds", seconds,
                "--payload", payload, "--json", *extra)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def running(self):
        return self._process.poll() is None

    def report(self):
        """Its JSON, when it is done."""
        try:
            out, err = self._process.communicate(timeout=self._seconds + 120)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise LabError(f"sotto-loadgen did not end: {self._process.communicate()}") from None
        if self._process.returncode != 0:
            raise LabError(f"sotto-loadgen ended with {self._process.returncode}: {err}{out}")
        return json.loads(out)


def check_clean(test, report, calls):
    """Every packet arrived once, in order, as it was sent, and from the relay alone."""
    test.assertEqual(report["calls_ready"], calls, report)
    test.assertGreater(report["sent"], 0, report)
    for what in ("lost", "corrupted", "misdelivered", "foreign", "duplicated", "send_errors"):
        test.assertEqual(report[what], 0, f"{what} in {report}")
    test.assertEqual(report["received"], report["sent"], report)
    test.assertEqual(report["errors"], [], report)
