# SPDX-License-Identifier: Apache-2.0
"""Metrics of a server with calls, as Debian's own Prometheus sees them: what they say is what is,
the rules load, and each query of the dashboard returns data."""

import pathlib
import shutil
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.certificates import make_key
from lab.device import (ACCEPT_CALL, CALL_ENDED, DECLINE_CALL, HANG_UP, INCOMING_CALL, Device,
                        EpochKey)
from lab.prometheus import DEPLOY, Deployed, Exposition
from lab.websocket import Closed
from operated import OperatedTest, free_port

RING_S = 1


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return answer.read().decode()


class MetricsTest(Exposition, OperatedTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.start(f'[metrics]\nlisten = "127.0.0.1:{self.port}"\n'
                   f"[calls]\nring_s = {RING_S}\nnotice_interval_s = 1\n")

    def exposition(self):
        return get(self.port, "/metrics")

    def assert_grows(self, before, wanted):
        """Waits until series have grown by so much, and by no more."""
        wanted = {f"sotto_signaling_{name}": value for name, value in wanted.items()}
        end = time.monotonic() + 10
        while True:
            now = self.scrape()
            grown = {name: now[name] - before[name] for name in wanted}
            if grown == wanted:
                return now
            if time.monotonic() > end:
                self.assertEqual(grown, wanted)


class Scrapes(MetricsTest):
    def test_what_is_told_is_what_was_done(self):
        before = self.scrape()
        alice, bob, carol = self.device("alice"), self.device("bob"), self.device("carol")
        key = EpochKey("bob")
        self.register(bob, key)
        bob.put_settings(silence=True)
        Device(self.daemon, "dora").close()
        self.assert_grows(before, {'sessions{state="connected"}': 3,
                                   'sessions{state="resumable"}': 1, "accounts": 4,
                                   "connections": 3, "sessions_opened_total": 4})

        token = key.token()
        answered = alice.call("bob", token)
        bob.wait_for(INCOMING_CALL)
        bob.done(ACCEPT_CALL, {1: answered, 2: b"a" * 512})
        now = self.assert_grows(before, {"calls": 1, "connected_calls": 1})
        self.assertEqual(now['sotto_signaling_calls_ended_total{outcome="answered"}'], 0)
        alice.done(HANG_UP, {1: answered})
        declined = alice.call("carol")
        carol.wait_for(INCOMING_CALL)
        carol.done(DECLINE_CALL, {1: declined})
        alice.call("carol")             # missed
        alice.call("bob")               # silenced
        alice.call("bob", token)        # spent, and so silenced
        alice.call("nobody", token)     # rings nowhere, whatever the token
        for _ in range(5):
            alice.wait_for(CALL_ENDED)
        now = self.assert_grows(before, {
            "calls_placed_total": 6, "calls": 0, "connected_calls": 0,
            'calls_ended_total{outcome="answered"}': 1,
            'calls_ended_total{outcome="declined"}': 1,
            'calls_ended_total{outcome="missed"}': 1,
            'calls_ended_total{outcome="silenced"}': 3,
            'tokens_total{result="none"}': 3, 'tokens_total{result="accepted"}': 1,
            'tokens_total{result="spent"}': 1, 'tokens_total{result="invalid"}': 1,
            'tokens_total{result="unused"}': 0,
            'store_requests_total{kind="decision"}': 6})
        # Two for bob, of a kind and so one notice that counts; one for carol.
        self.assertEqual(now["sotto_signaling_notices_waiting"], 2)
        self.assertEqual(now["sotto_signaling_decision_seconds_count"], 6)
        self.assertEqual(now["sotto_signaling_decision_seconds_count"],
                         now['sotto_signaling_decision_seconds_bucket{le="+Inf"}'])
        mean = now["sotto_signaling_decision_seconds_sum"] / 6
        self.assertTrue(0.004 < mean < 1, mean)
        self.assertGreater(now["sotto_signaling_store_seconds_count"], 6)
        self.assertGreaterEqual(now["sotto_signaling_notices_sent_total"], 2)
        self.assertEqual(now["sotto_signaling_service_answered"], 1)
        self.assertEqual(now['sotto_signaling_relay_up{relay="relay"}'], 0)
        self.assertEqual(now["sotto_signaling_store_failures_total"], 0)

    def test_refusals_have_reasons(self):
        before = self.scrape()
        refused = Device(self.daemon, "mallory", connect=False)
        for identity in ("no JWT", self.table("identity", "new", "mallory", "--identity-key",
                                              self.make_key()).strip()):
            refused.identity = identity
            with self.assertRaises(Closed):
                refused.connect(self.daemon)
        self.device("bob")
        self.ctl("accounts", "block", "bob")
        with self.assertRaises(Closed):
            self.device("bob")
        self.device("alice")
        self.ctl("sessions", "end", self.json("sessions", "--account", "alice")[0]["id"])
        self.assert_grows(before, {'sign_ins_refused_total{reason="malformed"}': 1,
                                   'sign_ins_refused_total{reason="unknown_key"}': 1,
                                   'sign_ins_refused_total{reason="blocked"}': 1,
                                   'sign_ins_refused_total{reason="expired"}': 0,
                                   'sessions_ended_total{reason="blocked"}': 1,
                                   'sessions_ended_total{reason="operator"}': 1})

    def make_key(self):
        path = self.folder.path / "stranger.pem"
        make_key(path)
        return path

    def test_nobody_adds_a_series_and_no_name_is_told(self):
        self.device("alice")
        before = set(self.scrape())
        for i in range(10):
            caller = self.device(f"caller-{i}")
            caller.call(f"recipient-{i}", EpochKey(f"recipient-{i}").token())
        self.assertEqual(set(self.scrape()), before)
        text = self.exposition()
        for name in ("alice", "caller-", "recipient-", "127.0.0.1"):
            self.assertNotIn(name, text)

    def test_promtool_has_nothing_to_object(self):
        self.check_with_promtool()


class Prometheus(Deployed, MetricsTest):
    """Scraped every second by a Prometheus with the deployed configuration, but for its pace."""

    def setUp(self):
        super().setUp()
        self.load("sotto-signaling", "sotto_signaling_")
        folder = self.folder.path / "prometheus"
        folder.mkdir()
        shutil.copy(DEPLOY / "sotto-signaling.rules.yml", folder)
        config = (DEPLOY / "prometheus.yml").read_text()
        self.assertIn("127.0.0.1:9642", config)
        (folder / "prometheus.yml").write_text(
            config.replace(": 15s", ": 1s").replace(":9642", f":{self.port}"))
        self.web = free_port()
        self.log = open(folder / "log", "w+")
        self.addCleanup(self.log.close)
        self.prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=1h",
             f"--web.listen-address=127.0.0.1:{self.web}", "--log.level=warn"],
            env={"GOMAXPROCS": "1", "PATH": "/usr/bin:/bin"}, stdout=self.log, stderr=self.log)
        self.addCleanup(self.prometheus.wait)
        self.addCleanup(self.prometheus.terminate)

    def get_from_prometheus(self, path):
        return get(self.web, path)

    def is_up(self):
        try:
            return self.values('up{job="sotto-signald"}') == [1.0]
        except (OSError, urllib.error.URLError):
            self.assertIsNone(self.prometheus.poll(), "Prometheus has ended")
            return False

    def test_rules_and_dashboard(self):
        end = time.monotonic() + 60
        while not self.is_up():
            self.assertLess(time.monotonic(), end, "Prometheus doesn't scrape the server")
            time.sleep(0.2)
        alice = self.device("alice")
        began = time.monotonic()
        calls = 0
        while time.monotonic() - began < 8:
            alice.call("bob")
            calls += 1
            alice.pump(0.2)
        self.check_dashboard()
        rate = 'sum(rate(sotto_signaling_calls_placed_total[8s]))'
        self.assertAlmostEqual(self.values(rate)[0], calls / 8, delta=calls / 16)
        # There is no relay here.
        self.check_rules({"SottoSignalingNoRelay", "SottoSignalingRelayDown"})
        self.assertLess(max(self.values("scrape_samples_scraped")), 500)


if __name__ == "__main__":
    if shutil.which("promtool") is None or shutil.which("prometheus") is None:
        sys.exit("This needs Debian's package prometheus: deploy/install-deps.sh test.")
    unittest.main(verbosity=2)
