# SPDX-License-Identifier: Apache-2.0
"""sotto-loadgen against Debian's coturn: two clients and a TURN server as three hosts."""

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import BIN
from lab.network import Lab
from lab.processes import run, wait_for
from lab.relays import run_coturn
from lab.test_case import main

LOADGEN = BIN / "sotto-loadgen"
PROXY = pathlib.Path(__file__).with_name("mangling_proxy.py")
PROXY_PORT = 3500  # not 3479: coturn takes the port behind its own
SILENT = "203.0.113.1"  # an address that answers nothing
SECRET = "a shared secret"

PASSWORD = ("--user", "demo", "--password", "a password")
STATIC = ("-a", "-u", "demo:a password")
LIGHT = ("--calls", "5", "--pps", "500", "--seconds", "2")


def ip_of(endpoint):
    """Of 192.0.2.1:3478 or [2001:db8::1]:3478."""
    return endpoint.rpartition(":")[0].strip("[]")


class CoturnTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        cls.a, cls.b = cls.lab.remote_host("alice"), cls.lab.remote_host("bob")
        cls.host = cls.lab.lan_host("coturn", 20)
        cls.lab.router.run("ip", "route", "add", "blackhole", SILENT)
        cls.server = None

    @classmethod
    def start_coturn(cls, *options):
        cls.stop_coturn()
        cls.server = run_coturn(cls.host, *options)

    @classmethod
    def stop_coturn(cls):
        if cls.server:
            cls.server.stop()

    def command(self, *options, family=4):
        if "--server" not in options:
            address = f"[{self.host.ip[6]}]" if family == 6 else self.host.ip[4]
            options = ("--server", f"{address}:3478", *options)
        return [LOADGEN, "calls", "--local", f"{self.a.ip[family]},{self.b.ip[family]}", "--netns",
                f"{self.a.netns},{self.b.netns}", *options]

    def calls(self, *options, family=4):
        return run(self.command(*options, family=family), check=False)

    def check_clean(self, result, sent):
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        # A busy machine makes the sender leave some out, and say so.
        self.assertLessEqual(report["sent"], sent)
        self.assertGreater(report["sent"], 0.5 * sent)
        self.assertEqual(report["sent"] < sent, report["sender"]["slipped_seconds"] > 0)
        self.assertEqual(report["received"], report["sent"])
        for name in ("lost", "duplicated", "reordered", "corrupted", "misdelivered", "foreign",
                     "send_errors"):
            self.assertEqual(report[name], 0, name)
        self.assertEqual(report["errors"], [])
        self.assertEqual(report["legs_released"], 2 * report["calls"])
        latency = report["latency_us"]
        self.assertEqual(latency["samples"], report["sent"])
        self.assertEqual(latency["negative"], 0)
        self.assertGreater(latency["min"], 1)
        self.assertLessEqual(latency["min"], latency["p50"])
        self.assertLessEqual(latency["p50"], latency["p99"])
        self.assertLessEqual(latency["p99"], latency["p99_9"])
        self.assertLessEqual(latency["p99_9"], latency["max"])
        return report

    def test_channels_and_indications_over_both_families(self):
        self.start_coturn(*STATIC)
        for family in (4, 6):
            for mode in ((), ("--send-indications",)):
                with self.subTest(family=family, mode=mode):
                    result = self.calls(*PASSWORD, *LIGHT, "--json", *mode, family=family)
                    report = self.check_clean(result, 1000)
                    self.assertEqual(report["mode"], "indications" if mode else "channels")
                    self.assertEqual(report["authentication"], "MD5")
                    for leg in report["legs"]:
                        client = {"a": self.a, "b": self.b}[leg["leg"]]
                        self.assertEqual(ip_of(leg["client"]), client.ip[family], leg)
                        self.assertEqual(leg["client"], leg["mapped"])
                        self.assertEqual(len(leg["relayed"]), 1)
                        self.assertEqual(ip_of(leg["relayed"][0]), self.host.ip[family], leg)

    def test_half_a_dual_allocation_is_said_clearly(self):
        # coturn 4.6 takes ADDITIONAL-ADDRESS-FAMILY and gives an IPv4 address alone.
        self.start_coturn(*STATIC)
        result = self.calls(*PASSWORD, *LIGHT, "--family", "both", "--json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("gave no IPv6 relayed address", result.stderr)

    def test_relayed_family_other_than_the_servers(self):
        self.start_coturn(*STATIC)
        report = self.check_clean(self.calls(*PASSWORD, *LIGHT, "--family", "6", "--json"), 1000)
        self.assertEqual(ip_of(report["legs"][0]["relayed"][0]), self.host.ip[6])

    def test_odd_and_large_payloads_and_threads(self):
        self.start_coturn(*STATIC)
        for payload in ("32", "161", "1200"):
            for mode in ((), ("--send-indications",)):
                result = self.calls(*PASSWORD, "--calls", "4", "--pps", "400", "--seconds", "0.5",
                               "--payload", payload, "--threads", "2", "--json", *mode)
                self.check_clean(result, 200)

    def test_time_limited_credentials(self):
        self.start_coturn("--use-auth-secret", f"--static-auth-secret={SECRET}")
        self.check_clean(self.calls("--secret", SECRET, *LIGHT, "--json"), 1000)
        self.check_clean(self.calls("--secret", SECRET, "--call-policy", *LIGHT, "--json"), 1000)
        result = self.calls("--secret", "another secret", *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("shared secret", result.stderr)

    def test_warmup_is_not_counted(self):
        self.start_coturn(*STATIC)
        report = self.check_clean(
            self.calls(*PASSWORD, "--calls", "2", "--pps", "200", "--seconds", "1", "--warmup", "1",
                  "--json"), 200)
        self.assertGreater(report["warmup"]["sent"], 100)
        self.assertEqual(report["warmup"]["sent"], report["warmup"]["received"])

    def test_stale_nonces_are_survived(self):
        self.start_coturn(*STATIC, "--stale-nonce=1", "--max-allocate-lifetime=4")
        report = self.check_clean(
            self.calls(*PASSWORD, "--calls", "2", "--pps", "100", "--seconds", "7", "--json"), 700)
        self.assertEqual(report["legs_released"], 4)

    def test_wrong_password_is_said_clearly(self):
        self.start_coturn(*STATIC)
        result = self.calls("--user", "demo", "--password", "wrong", *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn("refused the credentials of user \"demo\"", result.stderr)
        self.assertIn("check the user name and the password", result.stderr)
        report = json.loads(self.calls("--user", "demo", "--password", "wrong", "--json").stdout)
        self.assertEqual(report["calls_ready"], 0)
        self.assertIn("refused the credentials", report["errors"][0])

    def test_quota_is_said_clearly_and_what_was_allocated_is_released(self):
        self.start_coturn(*STATIC, "--user-quota=5")
        result = self.calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("(486)", result.stderr)
        # coturn gives the quota back a second or so after an allocation has ended.
        deadline = time.monotonic() + 10
        while result.returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.5)
            result = self.calls(*PASSWORD, "--calls", "2", "--pps", "100", "--seconds", "1",
                                "--json")
        self.check_clean(result, 100)

    def test_refused_peers_are_said_clearly(self):
        self.start_coturn(*STATIC, f"--denied-peer-ip={self.host.ip[4]}")
        result = self.calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"forbids the peer {self.host.ip[4]} (403)", result.stderr)

    def test_nobody_listens(self):
        self.stop_coturn()
        start = time.monotonic()
        result = self.calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("nothing listens on UDP", result.stderr)
        self.assertLess(time.monotonic() - start, 5)

    def test_silence_is_given_up(self):
        self.stop_coturn()
        result = run([LOADGEN, "calls", "--server", f"{SILENT}:3478", "--netns", self.a.netns,
                      *PASSWORD],
                     check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr,
                         r"no answer from 203\.0\.113\.1:3478 to Allocate in 1[1-4]\.\d seconds")

    def calls_through_proxy(self, mode, *options):
        """The result of a run through the proxy, and what the proxy did."""
        self.start_coturn(*STATIC)
        address = self.host.ip[4]
        proxy = self.host.start(sys.executable, PROXY, address, PROXY_PORT, 3478, mode)
        wait_for("the proxy", 10, lambda: "ready\n" in proxy.output())
        try:
            result = self.calls(*PASSWORD, "--server", f"{address}:{PROXY_PORT}", *options)
        finally:
            proxy.stop()
        return result, json.loads(proxy.tail(1))

    def test_every_fault_is_seen_and_named(self):
        result, done = self.calls_through_proxy(
            "mangle", "--calls", "2", "--pps", "1000", "--seconds", "2", "--json",
            "--max-loss", "1")
        report = json.loads(result.stdout)
        self.assertGreaterEqual(min(done[name] for name in (
            "lost", "doubled", "changed", "cut", "swapped", "foreign", "misdelivered")), 10)
        self.assertEqual(report["corrupted"], done["changed"] + done["cut"])
        self.assertEqual(report["lost"], done["lost"] + report["corrupted"])
        self.assertEqual(report["duplicated"], done["doubled"])
        self.assertEqual(report["reordered"], done["swapped"])
        self.assertEqual(report["foreign"], done["foreign"])
        self.assertEqual(report["misdelivered"], done["misdelivered"])
        self.assertEqual(report["legs_released"], 4)
        # Three of each hundred are lost, one is allowed.
        self.assertEqual(result.returncode, 1)
        self.assertIn("--max-loss", result.stderr)

    def test_latency_is_that_of_the_way(self):
        result, _ = self.calls_through_proxy("delay", *LIGHT, "--json")
        latency = self.check_clean(result, 1000)["latency_us"]
        self.assertGreater(latency["min"], 20_000)
        self.assertLess(latency["p50"], 60_000)

    def test_interrupt_ends_in_order(self):
        self.start_coturn(*STATIC)
        process = subprocess.Popen(
            self.command(*PASSWORD, "--calls", "5", "--pps", "500", "--seconds", "60", "--json"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0, err)
        report = json.loads(out)
        self.assertTrue(report["interrupted"])
        self.assertGreater(report["sent"], 100)
        self.assertLess(report["sent"], 1500)
        self.assertEqual(report["lost"], 0)
        self.assertEqual(report["legs_released"], 10)

    def test_text_report(self):
        self.start_coturn(*STATIC)
        result = self.calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"5 calls through {self.host.ip[4]}:3478 over channels", result.stdout)
        self.assertRegex(result.stdout, r"sent (\d+), received \1, lost 0 \(0\.0000 %\)")
        self.assertRegex(result.stdout,
                         r"call 0 leg a  198\.51\.100\.2:\d+  relayed as 192\.0\.2\.20:")


class CommandLineTest(unittest.TestCase):
    def test_each_mistake_is_one_sentence_and_exit_code_2(self):
        good = ["--server", "192.0.2.1:3478", "--user", "u", "--password", "p"]
        for options, says in (
                ([], "--server"),
                (["--server", "192.0.2.1"], "192.0.2.1:3478 or [2001:db8::1]:3478"),
                (["--server", "192.0.2.1:3478"], "--secret"),
                ([*good, "--secret", "s"], "--user"),
                ([*good, "--payload", "16"], "32"),
                ([*good, "--calls", "none"], "--calls"),
                ([*good, "--family", "5"], "--family"),
                ([*good, "--local", "::1"], "the same IP family"),
                ([*good, "--local", "localhost"], "localhost"),
                ([*good, "--colour"], "--colour")):
            with self.subTest(options=options):
                result = run([LOADGEN, "calls", *options], check=False, timeout=10)
                self.assertEqual(result.returncode, 2)
                self.assertIn(says, result.stderr)
                self.assertEqual(result.stdout, "")

    def test_foreign_address_and_namespace(self):
        good = ["--server", "192.0.2.1:3478", "--user", "u", "--password", "p"]
        for options, says in ((["--local", "192.0.2.77"], "address of this host"),
                              (["--netns", "no-such-namespace"], "ip netns")):
            result = run([LOADGEN, "calls", *good, *options], check=False, timeout=10)
            self.assertEqual(result.returncode, 1)
            self.assertIn(says, result.stderr)


if __name__ == "__main__":
    main()
