# SPDX-License-Identifier: Apache-2.0
"""Every command about the relay against one that runs: as a table, as JSON and, where it changes
something, what it changed."""

import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import relays
from lab.certificates import make_authority
from lab.environment import BIN
from lab.processes import wait_for
from lab.test_case import LabTest, main
from lab.turn import Client, TurnError, time_limited

SOTTOCTL = BIN / "sottoctl"


class SottoctlTest(LabTest):
    def command(self):
        return [SOTTOCTL, "--target", f"unix:{self.lab.path}/relay.sock"]

    def run_ctl(self, *args, code=0, stdin=""):
        done = subprocess.run([*self.command(), *map(str, args)], input=stdin, capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done

    def table(self, *args):
        done = self.run_ctl(*args)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def json(self, *args, **kwargs):
        return json.loads(self.run_ctl("-o", "json", *args, **kwargs).stdout)

    def client(self, host=None, **credentials):
        client = Client((host or self.alice).udp(4), self.relay.endpoint[4], **credentials)
        client.allocate(4)
        return client

    def endpoint(self, client):
        """The client's address as sottoctl writes it."""
        return "{}:{}".format(*client.mapped)


class Look(SottoctlTest):
    def test_status(self):
        status = self.json("status")
        self.assertEqual(status["state"], "serving")
        self.assertEqual(status["realm"], relays.REALM)
        self.assertIn("192.0.2.10:3478", status["listen"])
        self.assertIn("[2001:db8::10]:3478", status["listen"])
        self.assertEqual(status["relay_addresses"], ["192.0.2.10", "2001:db8::10"])
        self.assertIn("serving", self.table("status"))
        self.assertIn("realm: example.org", self.table("status", "-o", "yaml"))

    def test_stats_count_what_happens(self):
        before = self.json("stats")
        client = Client(self.alice.udp(4), self.relay.endpoint[4])
        for _ in range(20):
            client.binding()
        after = self.json("stats")
        self.assertGreaterEqual(after["rx_packets"], before["rx_packets"] + 20)
        paths = {path["name"]: path["count"] for path in after["paths"]}
        self.assertGreaterEqual(paths["binding"], 20)
        self.assertIn("Received", self.table("stats"))
        lines = self.json("stats", "--watch", "--interval", "200ms", "--count", "2")
        self.assertEqual(len(lines), 2)

    def test_drops_say_what_to_do(self):
        self.alice.udp(4).sendto(b"not STUN", self.relay.endpoint[4])
        wait_for("the drop counted", 5, lambda: any(
            drop["name"] == "not_stun_nor_channeldata" for drop in self.json("drops")))
        self.assertIn("Neither STUN nor ChannelData", self.table("drops"))
        self.assertGreater(len(self.json("drops", "--all")), len(self.json("drops")))

    def test_workers_ports_and_neighbors(self):
        self.client()
        worker, = self.json("workers")[:1]
        self.assertGreater(worker["polls"], 0)
        self.assertIn("BUSY", self.table("workers"))
        ports = self.json("ports")
        self.assertGreater(ports["mbufs"], 0)
        self.assertGreater(ports["ports"][0]["rx_packets"], 0)
        self.assertIn("192.0.2.10/24", self.table("ports", "--extended"))
        gateway = next(n for n in self.json("neighbors") if n["ip"] == "192.0.2.1")
        self.assertTrue(gateway["gateway"])
        self.assertEqual(gateway["mac"], "02:00:c0:00:02:01")
        self.assertIn("192.0.2.1", self.table("neighbors"))

    def test_allocations(self):
        first, second = self.client(), self.client(self.bob)
        first.permit("198.51.100.18")
        first.bind(0x4001, ("198.51.100.18", 7000))
        found, = self.json("allocations", "list", "--client", self.endpoint(first))
        self.assertEqual(found["user"], relays.USER)
        self.assertEqual(found["relayed"], ["{}:{}".format(*first.relayed[4])])
        for args in (("--peer", "198.51.100.18"), ("--relayed", found["relayed"][0]),
                     ("--client", f"{self.alice.ip[4]}/32", "--user", relays.USER,
                      "--max-age", "1h")):
            ids = [a["id"] for a in self.json("allocations", "list", *args)]
            self.assertIn(found["id"], ids, args)
            other, = self.json("allocations", "list", "--client", self.endpoint(second))
            self.assertNotIn(other["id"], ids, args)
        self.assertEqual(self.json("allocations", "list", "--min-age", "1h"), [])
        self.assertEqual(len(self.json("allocations", "list", "--limit", "1")), 1)
        self.assertIn(self.endpoint(first), self.table("allocations", "list"))
        shown = self.json("allocations", "show", found["id"])
        self.assertEqual(shown["channel"][0]["peer"], "198.51.100.18:7000")
        self.assertIn("0x4001", self.table("allocations", "show", found["id"]))
        self.assertIn("Ended allocation", self.table("allocations", "end", found["id"]))
        self.run_ctl("allocations", "show", found["id"], code=4)
        self.run_ctl("allocations", "end", found["id"], code=4)
        with self.assertRaises(TurnError) as refused:
            first.refresh(600)
        self.assertEqual(refused.exception.code, 437)

    def test_allocations_end_by_what_they_are(self):
        def mallory():
            user, password = time_limited("mallory")
            return self.client(user=user, password=password)
        bystander, abusers = self.client(), [mallory() for _ in range(3)]
        abusers[0].permit("198.51.100.18")
        for args in ((), ("--limit", "1"), ("7", "--user", "mallory")):
            self.run_ctl("allocations", "end", *args, code=2)
        wrong = self.run_ctl("allocations", "end", "--user", "mallory", "--min-age", "9s",
                             "--max-age", "3s", code=1)
        self.assertIn("swap them", wrong.stderr)
        everything = self.run_ctl("allocations", "end", "--user", "", code=1)
        self.assertIn("is empty", everything.stderr)
        of = ("allocations", "end", "--user", "mallory")
        self.assertEqual(self.table(*of, "--dry-run"), "3 allocations would be ended.\n")
        self.assertEqual(self.json(*of, "--peer", "198.51.100.18"), {"ended": 1})
        # Its client's address and port too; what doesn't match goes on.
        self.assertEqual(self.json("allocations", "end", "--client", self.endpoint(abusers[1])),
                         {"ended": 1})
        self.assertEqual(self.table(*of), "1 allocation ended.\n")
        self.assertIn("no allocation matches", self.run_ctl(*of, code=4).stderr)
        self.assertEqual(self.json("allocations", "list", "--user", "mallory"), [])
        for abuser in abusers:
            with self.assertRaises(TurnError) as refused:
                abuser.refresh(600)
            self.assertEqual(refused.exception.code, 437)
        bystander.refresh(600)

    def test_nobody_listens(self):
        done = subprocess.run([SOTTOCTL, "status"], capture_output=True, text=True,
                              env={**os.environ, "SOTTO_TARGET": f"unix:{self.lab.path}/none.sock"})
        self.assertEqual(done.returncode, 3)
        self.assertIn("there is no socket", done.stderr)

    def test_the_signaling_daemon_is_another_one(self):
        done = self.run_ctl("sessions", code=1)
        self.assertIn("it is not sotto-signald", done.stderr)


class Access(SottoctlTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.lab.path / "access"
        folder.mkdir()
        folder.chmod(0o777)  # the relay gives root up
        config = cls.lab.path / "relay.toml"
        config.write_text(config.read_text().replace(
            "[turn.auth]", f'[turn.auth]\nfile = "{folder}/auth.toml"'))
        cls.relay.restart()

    def test_users(self):
        made = self.json("users", "add", "carol")
        self.client(user="carol", password=made["password"])
        refused = self.run_ctl("users", "add", "dave", "--password-stdin", code=1,
                               stdin="longer-\tpassword\n")
        self.assertIn("control characters", refused.stderr)
        # As a file from Windows has it.
        added = self.run_ctl("users", "add", "dave", "--password-stdin",
                             stdin="longer-password\r\n")
        self.assertIn("Added user dave", added.stdout)
        self.client(user="dave", password="longer-password")
        self.run_ctl("users", "add", "carol", code=1)
        names = {user["name"]: user for user in self.json("users", "list")}
        self.assertTrue(names[relays.USER]["from_config"])
        self.assertEqual(names["carol"]["allocations"], 1)
        self.assertIn("carol", self.table("users", "list"))
        self.assertEqual(self.json("users", "remove", "carol", "--end-allocations")["ended"], 1)
        with self.assertRaises(TurnError):
            self.client(user="carol", password=made["password"])
        self.run_ctl("users", "remove", "carol", code=4)
        self.assertIn("Removed user dave", self.table("users", "remove", "dave"))

    def test_secrets_and_credentials(self):
        first = self.json("secrets", "list")
        server, = self.json("credential", "mint", "erin", "--valid", "1h")["iceServers"]
        self.assertIn("turn:192.0.2.10:3478", server["urls"][0])
        self.client(user=server["username"], password=server["credential"])
        self.json("secrets", "rotate")
        minting = [s for s in self.json("secrets", "list") if s["mints"]]
        self.assertEqual(len(minting), 1)
        self.assertNotIn(minting[0]["id"], [s["id"] for s in first])
        self.client(user=server["username"], password=server["credential"])
        server, = json.loads(self.table("credential", "mint", "erin"))["iceServers"]
        self.client(user=server["username"], password=server["credential"])
        self.assertIn("MINTS", self.table("secrets", "list"))
        self.assertIn("New secret", self.table("secrets", "rotate", "--keep", "2"))
        # As many as the relay keeps at most.
        self.table("secrets", "rotate", "--keep", "15")
        self.run_ctl("secrets", "rotate", "--keep", "16", code=2)

    def test_the_log_tells_what_an_operator_did_and_not_to_whom(self):
        def logged(sentence):
            return [line for line in self.relay.process.output().splitlines() if sentence in line]

        client = self.client()
        user, password = time_limited("doomed")
        for _ in range(2):
            self.client(user=user, password=password)
        minted = self.json("credential", "mint", "secretive", "--valid", "1h")["iceServers"][0]
        self.assertIn("valid_s=3600", logged("An operator minted a credential")[-1])
        allocation, = self.json("allocations", "list", "--client", self.endpoint(client))
        self.table("allocations", "end", allocation["id"])
        self.assertIn("allocations=1", logged("An operator ended allocations.")[-1])
        before = len(logged("An operator ended allocations."))
        self.table("allocations", "end", "--user", "doomed", "--dry-run")
        self.assertEqual(len(logged("An operator ended allocations.")), before)
        self.table("allocations", "end", "--user", "doomed")
        self.assertIn("allocations=2", logged("An operator ended allocations.")[-1])
        self.run_ctl("capture", "--to", "/dev/null", "--packets", "5", "--duration", "1s",
                     "--filter", f"host={self.alice.ip[4]}")
        self.assertIn("payload=false max_packets=5 max_seconds=1",
                      logged("A capture has started.")[-1])
        wait_for("the capture's end told", 5, lambda: logged("A capture has ended."))
        # Silence, too, is told of: before it falls, and when it ends.
        level = self.json("log", "level", "error")["previous"]
        self.assertIn(f"level=error previous={level}", logged("set the log level")[-1])
        self.table("log", "level", level)
        self.assertIn(f"level={level} previous=error", logged("set the log level")[-1])
        told = self.relay.process.output()
        for private in ("doomed", "secretive", minted["credential"], self.alice.ip[4],
                        str(allocation["id"]), relays.SECRET, relays.PASSWORD):
            self.assertNotIn(private, told)


class Changes(SottoctlTest):
    def test_configuration(self):
        config = self.lab.path / "relay.toml"
        text = config.read_text()
        self.addCleanup(config.write_text, text)
        self.assertIn("is valid", self.table("config", "check"))
        self.assertEqual(self.json("config", "diff"), [])
        other = self.lab.path / "other.toml"
        other.write_text(text.replace('level = "info"', 'level = "debug"')
                         .replace("max_allocations = 10000", "max_allocations = 20000"))
        differing = {d["key"]: d for d in self.json("config", "diff", other)}
        self.assertEqual(differing["[log] level"]["comes_with"], "reload")
        self.assertEqual(differing["[dataplane] max_allocations"]["comes_with"], "restart")
        self.assertEqual(differing["[log] level"]["in_force"].strip("'\""), "info")
        self.assertIn("[log] level", self.table("config", "diff", other))
        wrong = self.run_ctl("config", "check", "-", code=1, stdin="[log]\nlevel = \"loud\"\n")
        self.assertIn("<stdin>:2: [log] level", wrong.stderr)
        shown = {(e["section"], e["name"]): e for e in self.json("config", "show")}
        self.assertEqual(shown["log", "level"]["value"].strip("'\""), "info")
        self.assertTrue(shown["turn.auth", "shared_secrets"]["secret"])
        everything = self.table("config", "show") + json.dumps(self.json("config", "show"))
        self.assertNotIn(relays.SECRET, everything)
        self.assertNotIn(relays.PASSWORD, everything)
        self.assertTrue(all(not e["standard"] for e in self.json("config", "show", "--changed")))

        self.assertIn("Nothing changed", self.table("reload"))
        config.write_text(text.replace('level = "info"', 'level = "warning"'))
        self.assertIn("[log] level", self.json("reload")["reloadable"])
        self.assertEqual(self.json("log", "level")["level"], "warning")
        config.write_text(text + "[nonsense]\n")
        self.assertIn("nonsense", self.run_ctl("reload", code=1).stderr)

    def test_log_level(self):
        before = self.json("log", "level")["level"]
        self.assertEqual(self.json("log", "level", "debug")["previous"], before)
        self.assertEqual(self.table("log", "level"), "debug\n")
        self.assertIn(f"is {before}", self.table("log", "level", before))

    def test_drain(self):
        client = self.client()
        drained = self.json("drain", "--deadline", "1h")
        self.assertEqual(drained["state"], "draining")
        with self.assertRaises(TurnError) as refused:
            self.client(self.bob)
        self.assertEqual(refused.exception.code, 508)
        waiting = subprocess.Popen(
            [*self.command(), "-o", "json", "drain", "--wait"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiting.kill)
        time.sleep(1.5)
        self.assertIsNone(waiting.poll(), "an allocation is left")
        for allocation in self.json("allocations", "list"):
            self.run_ctl("allocations", "end", allocation["id"])
        out, err = waiting.communicate(timeout=10)
        self.assertEqual(waiting.returncode, 0, err)
        self.assertEqual(json.loads(out)["state"], "drained")
        self.assertIn("remain", err)
        self.assertEqual(self.json("undrain")["state"], "serving")
        self.client(self.bob)
        self.assertIsNotNone(client)


class Calls(SottoctlTest):
    relay_options = {"policy": "call", "arm": "at-once"}

    def test_calls(self):
        for host, side in ((self.alice, "a"), (self.bob, "b")):
            self.client(host, **dict(zip(("user", "password"), time_limited(f"call-1/{side}"))))
        listed, = self.json("calls", "list", "--call", "call-1")
        self.assertEqual([leg["side"] for leg in listed["legs"]], ["a", "b"])
        self.assertIn("call-1", self.table("calls", "list", "--armed"))
        shown = self.json("calls", "show", "call-1")
        self.assertTrue(shown["armed"])
        self.assertIn("192.0.2.10:", self.table("calls", "show", "call-1"))
        self.assertIn("Ended call call-1", self.table("calls", "end", "call-1"))
        self.run_ctl("calls", "show", "call-1", code=4)
        self.assertEqual(self.json("calls", "list"), [])
        self.table("calls", "end", "call-1")  # there is none by now
        told = self.relay.process.output()
        self.assertEqual(told.count("An operator ended a call."), 1)
        self.assertNotIn("call-1", told)


class OverTls(SottoctlTest):
    TARGET = "127.0.0.1:9640"

    @classmethod
    def add_hosts(cls):
        cls.tls = folder = cls.lab.path / "tls"
        folder.mkdir()
        make_authority(folder, "relay", "operator")
        make_authority(folder, "operator", prefix="other-")
        cls.relay_options = {"admin": f"""
listen = "{cls.TARGET}"
tls_ca = "{folder}/ca.crt"
tls_cert = "{folder}/relay.crt"
tls_key = "{folder}/relay.key"
"""}

    def status(self, ca="ca", operator="operator"):
        return self.relay.host.run(
            SOTTOCTL, "status", "-o", "json", "--target", self.TARGET,
            "--ca", self.tls / f"{ca}.crt",
            "--cert", self.tls / f"{operator}.crt", "--key", self.tls / f"{operator}.key",
            check=False)

    def test_both_sides_show_certificates(self):
        done = self.status()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["state"], "serving")

    def test_a_ca_that_did_not_issue_the_certificate(self):
        for strange in ({"ca": "other-ca"}, {"operator": "other-operator"}):
            done = self.status(**strange)
            self.assertEqual(done.returncode, 3, strange)
            self.assertIn(f"can't reach sotto-relayd at {self.TARGET}", done.stderr)


if __name__ == "__main__":
    main()
