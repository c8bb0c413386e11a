# SPDX-License-Identifier: Apache-2.0
"""Metrics of a relay with traffic, as Debian's own Prometheus sees them: what they say is what is,
the rules load, and each query of the dashboard returns data."""

import pathlib
import shutil
import sys
import time
from http.client import HTTPConnection

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import SANITIZED
from lab.loadgen import Calls
from lab.processes import wait_for
from lab.prometheus import DEPLOY, Deployed, Exposition
from lab.test_case import LabTest, main
from lab.turn import Client, TurnError

RELAYD, PROMETHEUS = ("127.0.0.1", 9641), ("127.0.0.1", 9090)
PPS = 200 if SANITIZED else 2000


class MetricsTest(Exposition, LabTest):
    def get(self, address, path):
        """The body of an answer, over a connection from within the relay's host."""
        with self.relay.host.entered():
            connection = HTTPConnection(*address, timeout=20)
            connection.connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            self.assertEqual(answer.status, 200, body[:500])
            return body
        finally:
            connection.close()

    def exposition(self):
        return self.get(RELAYD, "/metrics")

    def assert_grew(self, before, name, least, most=None):
        after = self.scrape()
        grown = after[name] - before[name]
        self.assertGreaterEqual(grown, least, name)
        self.assertLessEqual(grown, least if most is None else most, name)

    def calls(self, seconds, calls=5):
        return Calls(self.relay, self.alice, self.bob, calls, PPS, seconds)


class Scrapes(MetricsTest):
    def test_what_is_told_is_what_was_sent(self):
        before = self.scrape()
        calls = self.calls(3)
        during = {}

        def allocated():
            during.update(self.scrape())
            return during["sotto_relay_allocations"] == 10 and \
                during["sotto_relay_fused_channels"] == 10

        wait_for("the calls", 20, allocated)
        report = calls.report()
        self.assertEqual(report["lost"], 0, report)
        sent = report["sent"]
        after = self.scrape()

        def grown(name):
            return after[name] - before[name]

        self.assertGreaterEqual(grown('sotto_relay_path_packets_total{path="fused"}'), sent)
        self.assertGreaterEqual(grown('sotto_relay_received_packets_total{worker="0"}'), sent)
        self.assertGreaterEqual(grown('sotto_relay_sent_packets_total{worker="0"}'), sent)
        # Every packet that came is in the histogram of latencies, and every burst in that of
        # bursts.
        self.assertAlmostEqual(after["sotto_relay_latency_seconds_count"],
                               after['sotto_relay_received_packets_total{worker="0"}'], delta=32)
        self.assertEqual(after["sotto_relay_latency_seconds_count"],
                         after['sotto_relay_latency_seconds_bucket{le="+Inf"}'])
        mean = grown("sotto_relay_latency_seconds_sum") / grown("sotto_relay_latency_seconds_count")
        self.assertTrue(100e-9 < mean < 0.01, mean)
        bursts = grown('sotto_relay_burst_packets_count{worker="0"}')
        received = grown('sotto_relay_received_packets_total{worker="0"}')
        self.assertTrue(sent / 32 <= bursts <= received)
        self.assertEqual(grown("sotto_relay_allocations_created_total"), 10)
        self.assertEqual(grown('sotto_relay_allocations_ended_total{how="ended"}'), 10)
        self.assertGreaterEqual(
            grown('sotto_relay_authentications_total{result="accepted"}'), 30)
        self.assertEqual(grown('sotto_relay_error_responses_total{code="401"}'), 10)
        self.assertGreaterEqual(
            grown('sotto_relay_port_received_packets_total{port="net_af_packet0"}'), sent)
        self.assertEqual(after['sotto_relay_port_link_up{port="net_af_packet0"}'], 1)
        self.assertEqual(after["sotto_relay_control_answered"], 1)
        self.assertGreater(grown('sotto_relay_worker_seconds_total{worker="0",state="busy"}'), 0)
        self.assertEqual(after["sotto_relay_allocations"], before["sotto_relay_allocations"])

    def test_drops_and_wrong_passwords_are_counted(self):
        before = self.scrape()
        unbound = self.alice.udp(4)
        for _ in range(9):
            unbound.sendto(b"\x40\x01\x00\x04abcd", self.relay.endpoint[4])
        guess = Client(self.alice.udp(4), self.relay.endpoint[4], password="guessed-wrong")
        with self.assertRaises(TurnError) as refused:
            guess.allocate(4)
        self.assertEqual(refused.exception.code, 401)
        self.assert_grew(before, 'sotto_relay_dropped_packets_total{reason="channel_unbound"}', 9)
        self.assert_grew(before, 'sotto_relay_authentications_total{result="refused"}', 1)

    def test_no_client_adds_a_series(self):
        before = set(self.scrape())
        for i in range(20):
            client = Client(self.alice.udp(4), self.relay.endpoint[4], f"user-{i}", "unknown")
            with self.assertRaises(TurnError):
                client.allocate(4)
        known = Client(self.bob.udp(4), self.relay.endpoint[4])
        known.allocate(4)
        known.permit("198.51.100.2")
        self.assertEqual(set(self.scrape()), before)
        known.refresh(0)

    def test_promtool_has_nothing_to_object(self):
        self.check_with_promtool()

    def test_a_flood_of_scrapers_costs_no_packet(self):
        calls = self.calls(3)
        with self.relay.host.entered():
            idle = [HTTPConnection(*RELAYD, timeout=5) for _ in range(200)]
            for connection in idle:
                connection.connect()
        self.addCleanup(lambda: [connection.close() for connection in idle])
        scrapes = 0
        while calls.running():
            self.get(RELAYD, "/metrics")
            scrapes += 1
        self.assertGreater(scrapes, 20)
        report = calls.report()
        self.assertEqual((report["lost"], report["corrupted"]), (0, 0), report)


class Prometheus(Deployed, MetricsTest):
    """Scraped every second by a Prometheus with the deployed configuration, but for its pace."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.lab.path / "prometheus"
        folder.mkdir()
        shutil.copy(DEPLOY / "sotto-relay.rules.yml", folder)
        config = (DEPLOY / "prometheus.yml").read_text().replace(": 15s", ": 1s")
        (folder / "prometheus.yml").write_text(config)
        cls.prometheus = cls.relay.host.start(
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=1h",
            f"--web.listen-address={PROMETHEUS[0]}:{PROMETHEUS[1]}", "--log.level=warn",
            env={"GOMAXPROCS": "1"})

    @classmethod
    def tearDownClass(cls):
        cls.prometheus.stop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.load("sotto-relay", "sotto_relay_")

    def get_from_prometheus(self, path):
        return self.get(PROMETHEUS, path)

    def is_up(self):
        try:
            return self.values('up{job="sotto-relayd"}') == [1.0]
        except (OSError, AssertionError):  # not started yet: no answer, or 503
            if self.prometheus.returncode is not None:
                raise AssertionError(self.prometheus.output()) from None
            return False

    def test_rules_and_dashboard(self):
        wait_for("Prometheus scraping the relay", 60, self.is_up, 0.2)
        calls = self.calls(12)
        try:
            time.sleep(8)
            self.check_dashboard()
            # The figures are those of the calls.
            rate = 'sum(rate(sotto_relay_path_packets_total{path="fused"}[8s]))'
            self.assertAlmostEqual(self.values(rate)[0], PPS, delta=PPS / 2)
            self.check_rules()
            # What a scrape costs Prometheus, whose sample_limit is ten times as much.
            self.assertLess(self.values("scrape_samples_scraped")[0], 2000)
        finally:
            report = calls.report()
        self.assertEqual(report["lost"], 0, report)


if __name__ == "__main__":
    if shutil.which("promtool") is None or shutil.which("prometheus") is None:
        sys.exit("This needs Debian's package prometheus: deploy/install-deps.sh test.")
    main()
