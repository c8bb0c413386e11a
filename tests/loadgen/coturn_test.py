#!/usr/bin/env python3
"""sotto-loadgen against coturn, in network namespaces: two clients and a TURN server as three hosts.

Usage: coturn_test.py PATH-OF-SOTTO-LOADGEN [unittest arguments]
Needs root, iproute2 and coturn's turnserver. Exit code 77: not possible here (ctest: skipped).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

LOADGEN = ""
PREFIX = f"slg{os.getpid()}"
CLIENT_A, CLIENT_B, RELAY = (f"{PREFIX}{suffix}" for suffix in "abr")
SERVER_V4, SERVER_V6 = "10.77.0.1", "fd77::1"
PROXY_PORT = 3500  # not 3479: coturn takes the port behind its own
SECRET = "a shared secret"


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def in_relay(*command):
    return run("ip", "netns", "exec", RELAY, *command)


class Lab:
    """The namespaces, and one turnserver at a time."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sotto-loadgen-")
        self.server = None
        for name in (CLIENT_A, CLIENT_B, RELAY):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for number, client in ((1, CLIENT_A), (2, CLIENT_B)):
            run("ip", "link", "add", f"c{number}", "netns", client, "type", "veth",
                "peer", "name", f"r{number}", "netns", RELAY)
            for name, link, host in ((client, f"c{number}", 2), (RELAY, f"r{number}", 1)):
                run("ip", "-n", name, "addr", "add", f"10.77.{number}.{host}/24", "dev", link)
                run("ip", "-n", name, "addr", "add", f"fd77:{number}::{host}/64", "dev", link,
                    "nodad")
                run("ip", "-n", name, "link", "set", link, "up")
            run("ip", "-n", client, "route", "add", "default", "via", f"10.77.{number}.1")
            run("ip", "-n", client, "route", "add", "default", "via", f"fd77:{number}::1")
        run("ip", "-n", RELAY, "addr", "add", f"{SERVER_V4}/32", "dev", "lo")
        run("ip", "-n", RELAY, "addr", "add", f"{SERVER_V6}/128", "dev", "lo", "nodad")

    def start(self, *options):
        self.stop()
        log = os.path.join(self.folder, "turnserver.log")
        self.server = subprocess.Popen(
            ["ip", "netns", "exec", RELAY, "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls",
             "--no-tcp", "-r", "example.org", "-L", SERVER_V4, "-L", SERVER_V6,
             "-E", SERVER_V4, "-E", SERVER_V6, "--pidfile", os.path.join(self.folder, "pid"),
             "--db", os.path.join(self.folder, "db"), "--log-file", log, "--simple-log",
             "--no-stdout-log", *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            sockets = in_relay("ss", "-lnuH")
            if f"{SERVER_V4}:3478" in sockets and f"[{SERVER_V6}]:3478" in sockets:
                return
            if self.server.poll() is not None:
                break
            time.sleep(0.05)
        with open(log, encoding="utf-8", errors="replace") as file:
            raise RuntimeError("turnserver did not start: " + file.read()[-2000:])

    def stop(self):
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(5)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            self.server = None

    def start_proxy(self, mode):
        proxy = subprocess.Popen(
            ["ip", "netns", "exec", RELAY, sys.executable,
             os.path.join(os.path.dirname(os.path.abspath(__file__)), "mangling_proxy.py"),
             SERVER_V4, str(PROXY_PORT), "3478", mode], stdout=subprocess.PIPE, text=True)
        if proxy.stdout.readline() != "ready\n":
            raise RuntimeError("the proxy did not start")
        return proxy

    def close(self):
        self.stop()
        for name in (CLIENT_A, CLIENT_B, RELAY):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(self.folder)


def command(*options, v6=False):
    local = "fd77:1::2,fd77:2::2" if v6 else "10.77.1.2,10.77.2.2"
    server = f"[{SERVER_V6}]:3478" if v6 else f"{SERVER_V4}:3478"
    if "--server" not in options:
        options = ("--server", server, *options)
    return [LOADGEN, "calls", "--local", local, "--netns", f"{CLIENT_A},{CLIENT_B}", *options]


def calls(*options, v6=False):
    return subprocess.run(command(*options, v6=v6), capture_output=True, text=True, timeout=60)


PASSWORD = ("--user", "demo", "--password", "a password")
STATIC = ("-a", "-u", "demo:a password")
LIGHT = ("--calls", "5", "--pps", "500", "--seconds", "2")


class CoturnTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)

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
        self.lab.start(*STATIC)
        for v6 in (False, True):
            for mode in ((), ("--send-indications",)):
                with self.subTest(v6=v6, mode=mode):
                    result = calls(*PASSWORD, *LIGHT, "--json", *mode, v6=v6)
                    report = self.check_clean(result, 1000)
                    self.assertEqual(report["mode"], "indications" if mode else "channels")
                    self.assertEqual(report["authentication"], "MD5")
                    server = f"[{SERVER_V6}]:" if v6 else f"{SERVER_V4}:"
                    hosts = {"a": "[fd77:1::2]:", "b": "[fd77:2::2]:"} if v6 else {
                        "a": "10.77.1.2:", "b": "10.77.2.2:"}
                    for leg in report["legs"]:
                        self.assertTrue(leg["client"].startswith(hosts[leg["leg"]]), leg)
                        self.assertEqual(leg["client"], leg["mapped"])
                        self.assertEqual(len(leg["relayed"]), 1)
                        self.assertTrue(leg["relayed"][0].startswith(server), leg)

    def test_half_a_dual_allocation_is_said_clearly(self):
        # coturn 4.6 takes ADDITIONAL-ADDRESS-FAMILY and gives an IPv4 address alone.
        self.lab.start(*STATIC)
        result = calls(*PASSWORD, *LIGHT, "--family", "both", "--json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("gave no IPv6 relayed address", result.stderr)

    def test_relayed_family_other_than_the_servers(self):
        self.lab.start(*STATIC)
        report = self.check_clean(calls(*PASSWORD, *LIGHT, "--family", "6", "--json"), 1000)
        self.assertTrue(report["legs"][0]["relayed"][0].startswith(f"[{SERVER_V6}]:"))

    def test_odd_and_large_payloads_and_threads(self):
        self.lab.start(*STATIC)
        for payload in ("32", "161", "1200"):
            for mode in ((), ("--send-indications",)):
                result = calls(*PASSWORD, "--calls", "4", "--pps", "400", "--seconds", "0.5",
                               "--payload", payload, "--threads", "2", "--json", *mode)
                self.check_clean(result, 200)

    def test_time_limited_credentials(self):
        self.lab.start("--use-auth-secret", f"--static-auth-secret={SECRET}")
        self.check_clean(calls("--secret", SECRET, *LIGHT, "--json"), 1000)
        self.check_clean(calls("--secret", SECRET, "--call-policy", *LIGHT, "--json"), 1000)
        result = calls("--secret", "another secret", *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("shared secret", result.stderr)

    def test_warmup_is_not_counted(self):
        self.lab.start(*STATIC)
        report = self.check_clean(
            calls(*PASSWORD, "--calls", "2", "--pps", "200", "--seconds", "1", "--warmup", "1",
                  "--json"), 200)
        self.assertGreater(report["warmup"]["sent"], 100)
        self.assertEqual(report["warmup"]["sent"], report["warmup"]["received"])

    def test_stale_nonces_are_survived(self):
        self.lab.start(*STATIC, "--stale-nonce=1", "--max-allocate-lifetime=4")
        report = self.check_clean(
            calls(*PASSWORD, "--calls", "2", "--pps", "100", "--seconds", "7", "--json"), 700)
        self.assertEqual(report["legs_released"], 4)

    def test_wrong_password_is_said_clearly(self):
        self.lab.start(*STATIC)
        result = calls("--user", "demo", "--password", "wrong", *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn("refused the credentials of user \"demo\"", result.stderr)
        self.assertIn("check the user name and the password", result.stderr)
        report = json.loads(calls("--user", "demo", "--password", "wrong", "--json").stdout)
        self.assertEqual(report["calls_ready"], 0)
        self.assertIn("refused the credentials", report["errors"][0])

    def test_quota_is_said_clearly_and_what_was_allocated_is_released(self):
        self.lab.start(*STATIC, "--user-quota=5")
        result = calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("(486)", result.stderr)
        # coturn gives the quota back a second or so after an allocation has ended.
        deadline = time.monotonic() + 10
        while result.returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.5)
            result = calls(*PASSWORD, "--calls", "2", "--pps", "100", "--seconds", "1", "--json")
        self.check_clean(result, 100)

    def test_refused_peers_are_said_clearly(self):
        self.lab.start(*STATIC, f"--denied-peer-ip={SERVER_V4}")
        result = calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"forbids the peer {SERVER_V4} (403)", result.stderr)

    def test_nobody_listens(self):
        self.lab.stop()
        start = time.monotonic()
        result = calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("nothing listens on UDP", result.stderr)
        self.assertLess(time.monotonic() - start, 5)

    def test_silence_is_given_up(self):
        self.lab.stop()
        in_relay("ip", "route", "add", "blackhole", "10.77.99.1/32")
        result = subprocess.run(
            [LOADGEN, "calls", "--server", "10.77.99.1:3478", "--netns", CLIENT_A, *PASSWORD],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr,
                         r"no answer from 10\.77\.99\.1:3478 to Allocate in 1[1-4]\.\d seconds")

    def calls_through_proxy(self, mode, *options):
        """The result of a run through the proxy, and what the proxy did."""
        self.lab.start(*STATIC)
        proxy = self.lab.start_proxy(mode)
        try:
            result = calls(*PASSWORD, "--server", f"{SERVER_V4}:{PROXY_PORT}", *options)
        finally:
            proxy.terminate()
            done = json.loads(proxy.communicate(timeout=10)[0])
        return result, done

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
        self.lab.start(*STATIC)
        process = subprocess.Popen(
            command(*PASSWORD, "--calls", "5", "--pps", "500", "--seconds", "60", "--json"),
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
        self.lab.start(*STATIC)
        result = calls(*PASSWORD, *LIGHT)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("5 calls through 10.77.0.1:3478 over channels", result.stdout)
        self.assertRegex(result.stdout, r"sent (\d+), received \1, lost 0 \(0\.0000 %\)")
        self.assertRegex(result.stdout, r"call 0 leg a  10\.77\.1\.2:\d+  relayed as 10\.77\.0\.1:")


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
                ([*good, "--local", "::1"], "one IP family"),
                ([*good, "--local", "localhost"], "localhost"),
                ([*good, "--colour"], "--colour")):
            with self.subTest(options=options):
                result = subprocess.run([LOADGEN, "calls", *options], capture_output=True,
                                        text=True, timeout=10)
                self.assertEqual(result.returncode, 2)
                self.assertIn(says, result.stderr)
                self.assertEqual(result.stdout, "")

    def test_foreign_address_and_namespace(self):
        good = ["--server", "192.0.2.1:3478", "--user", "u", "--password", "p"]
        for options, says in ((["--local", "192.0.2.77"], "address of this host"),
                              (["--netns", f"{PREFIX}none"], "ip netns")):
            result = subprocess.run([LOADGEN, "calls", *good, *options], capture_output=True,
                                    text=True, timeout=10)
            self.assertEqual(result.returncode, 1)
            self.assertIn(says, result.stderr)


if __name__ == "__main__":
    LOADGEN = os.path.abspath(sys.argv.pop(1))
    if os.geteuid() != 0 or not shutil.which("turnserver") or not shutil.which("ip"):
        print("needs root, iproute2 and coturn (apt-get install iproute2 coturn)")
        sys.exit(77)
    unittest.main(verbosity=2)
