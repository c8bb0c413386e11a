# SPDX-License-Identifier: Apache-2.0
"""sotto-loadgen signaling against sotto-signald: it counts what happens, and complains when it
must."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import BIN
from lab.network import Lab
from lab.processes import run
from lab.signalds import start_signald
from lab.test_case import main


class SignalingLoad(unittest.TestCase):
    def setUp(self):
        self.lab = self.enterContext(Lab())
        self.host = self.lab.remote_host("clients")

    def load(self, signald, *flags, code=0):
        done = self.host.run(
            BIN / "sotto-loadgen", "signaling", "--server", signald.url, "--ca", signald.ca,
            "--json", *flags, check=False, timeout=120)
        self.assertEqual(done.returncode, code, done)
        return json.loads(done.stdout), done.stderr

    def test_calls_ring_and_are_answered(self):
        signald = start_signald(self.lab, ring_s=30)
        for number, (flags, answered) in enumerate(((["--answer"], 100), (["--ring-only"], 0),
                                                    (["--plain", "--answer"], 100))):
            report, _ = self.load(
                signald, "--devices", 60, "--calls-per-second", 50, "--seconds", 2, "--name",
                f"run{number}", "--server-pid", signald.process.pid, *flags)
            self.assertEqual(report["devices"], 60)
            self.assertEqual((report["placed"], report["rang"]), (100, 100), report)
            self.assertEqual(report["answered"], answered)
            for what in ("refused", "not_rung", "wrong_offers", "wrong_tokens", "unexpected",
                         "connections_lost"):
                self.assertEqual(report[what], 0, report)
            for latency, count in (("place_to_placed_ms", 100), ("place_to_ring_ms", 100),
                                   ("place_to_connected_ms", answered)):
                self.assertEqual(report[latency]["count"], count)
            self.assertGreater(report["place_to_ring_ms"]["min"], 0)
            self.assertGreater(report["server_kib"]["connected"], 1000)

    def test_calls_that_do_not_ring_are_an_error(self):
        signald = start_signald(self.lab, ring_s=30, calls="pair_calls = 1")
        report, error = self.load(signald, "--devices", 2, "--calls-per-second", 2, "--seconds", 2,
                                  "--ring-seconds", 0.1, code=1)
        self.assertEqual((report["placed"], report["rang"], report["not_rung"]), (4, 1, 3))
        self.assertIn("3 did not ring", error)

    def test_refused_calls_are_an_error(self):
        signald = start_signald(self.lab, ring_s=30, calls="max_places_per_minute = 3")
        report, error = self.load(signald, "--devices", 2, "--calls-per-second", 5, "--seconds", 2,
                                  "--ring-seconds", 0.1, code=1)
        self.assertEqual((report["placed"], report["refused"]), (10, 7))
        self.assertIn("7 were refused", error)

    def test_slow_rings_are_an_error_where_a_bound_is_given(self):
        signald = start_signald(self.lab, ring_s=30)
        _, error = self.load(signald, "--devices", 10, "--seconds", 1, "--max-ring-p99", 0.0001,
                             code=1)
        self.assertIn("to ring", error)

    def test_server_that_is_not_there_is_said(self):
        signald = start_signald(self.lab)
        signald.process.stop()
        done = self.host.run(BIN / "sotto-loadgen", "signaling", "--server", signald.url, "--ca",
                             signald.ca, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("can't connect", done.stderr)

    def test_server_that_goes_away_is_said(self):
        signald = start_signald(self.lab, ring_s=30)
        process = self.host.start(
            BIN / "sotto-loadgen", "signaling", "--server", signald.url, "--ca", signald.ca,
            "--devices", 10, "--calls-per-second", 0, "--seconds", 60)
        self.host.run("sleep", "3")
        signald.process.stop()
        self.assertEqual(process.wait(30), 1)
        self.assertIn("was aborted", process.output())


class CommandLine(unittest.TestCase):
    def test_bad_arguments_are_said(self):
        for words, flags in (("--server", []), ("wss://", ["--server", "https://h"]),
                             ("must be at least 2", ["--server", "wss://h", "--devices", "1"]),
                             ("--name", ["--server", "wss://h", "--name", "a b"]),
                             ("excludes", ["--server", "wss://h", "--answer", "--ring-only"]),
                             ("--seconds", ["--server", "wss://h", "--seconds", "-1"])):
            done = run([BIN / "sotto-loadgen", "signaling", *flags], check=False)
            self.assertEqual(done.returncode, 2, (flags, done))
            self.assertIn(words, done.stdout + done.stderr)


if __name__ == "__main__":
    main()
