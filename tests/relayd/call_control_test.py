# SPDX-License-Identifier: Apache-2.0
"""Call control from outside: who gets in, and what arming, disarming and ending a call does to
media."""

import pathlib
import re
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from call_control import CallControl, grpc, leg_of
from lab.certificates import make_authority
from lab.processes import wait_for
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client, TurnError, time_limited

PYTHON = "/usr/bin/python3"
CLIENT = pathlib.Path(__file__).with_name("call_control.py")
NOBODY, NOGROUP, STRANGER = 65534, 65534, 65533


class CallControlTest(LabTest):
    relay_options = {"policy": "call"}

    def setUp(self):
        super().setUp()
        self.control = CallControl(f"unix:{self.socket_path()}")
        self.addCleanup(self.control.close)

    @classmethod
    def socket_path(cls):
        return cls.lab.path / "relay.sock"

    def leg(self, host, name):
        client = Client(host.udp(4), self.relay.endpoint[4], *time_limited(name))
        client.allocate(4)
        return client

    def legs(self, call):
        """Both legs of a call, bound to each other on channels 0x4001 (a) and 0x4002 (b)."""
        a, b = self.leg(self.alice, f"{call}/a"), self.leg(self.bob, f"{call}/b")
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        a.permit(b.relayed[4][0])
        b.permit(a.relayed[4][0])
        return a, b

    def assert_flows(self, a, b):
        a.send_channel(0x4001, b"to b")
        self.assertEqual(b.receive(), ChannelData(0x4002, b"to b"))
        b.send_channel(0x4002, b"to a")
        self.assertEqual(a.receive(), ChannelData(0x4001, b"to a"))
        a.send(b.relayed[4], b"by indication")  # arrives on the channel that b has bound
        self.assertEqual(b.receive(), ChannelData(0x4002, b"by indication"))

    def assert_silent(self, a, b):
        for _ in range(20):
            a.send_channel(0x4001, b"to b")
            a.send(b.relayed[4], b"to b")
            b.send_channel(0x4002, b"to a")
            b.send(a.relayed[4], b"to a")
        self.assertIsNone(b.receive(0.4))
        self.assertIsNone(a.receive(0.1))

    def assert_code(self, code, function, *args):
        with self.assertRaises(grpc.RpcError) as refused:
            function(*args)
        self.assertEqual(refused.exception.code(), code, refused.exception.details())
        return refused.exception.details()


class Media(CallControlTest):
    def test_media_flows_between_arm_and_disarm_and_the_legs_go_at_the_end(self):
        a, b = self.legs("media")
        self.assert_silent(a, b)
        self.assertFalse(self.control.get("media").armed)
        armed = self.control.arm("media")
        self.assertTrue(armed.armed)
        self.assertEqual(dict(map(leg_of, armed.legs)),
                         {"media/a": [a.relayed[4]], "media/b": [b.relayed[4]]})
        self.assert_flows(a, b)
        self.control.arm("media")  # changes nothing
        self.assert_flows(a, b)
        self.control.disarm("media")
        self.assert_silent(a, b)
        self.control.arm("media")
        self.assert_flows(a, b)
        before = self.control.relay().allocations
        self.control.end("media")
        self.assertEqual(self.control.relay().allocations, before - 2)
        self.assert_silent(a, b)
        with self.assertRaises(TurnError) as gone:
            a.refresh(600)
        self.assertEqual(gone.exception.code, 437)
        self.assert_code(grpc.StatusCode.NOT_FOUND, self.control.get, "media")

    def test_a_call_may_be_armed_before_its_legs_come(self):
        self.control.arm("early")
        a, b = self.legs("early")
        self.assert_flows(a, b)
        self.control.end("early")

    def test_a_watch_sees_it_all(self):
        first = self.leg(self.alice, "watched/a")
        watch = self.control.watch()
        self.addCleanup(watch.close)
        standing = []
        while (event := watch.next()) != ("all standing",):
            standing.append(event)
        self.assertIn(("standing", "watched/a", [first.relayed[4]]), standing)
        second = self.leg(self.bob, "watched/b")
        self.assertEqual(watch.next(), ("allocated", "watched/b", [second.relayed[4]]))
        again = self.leg(self.bob, "watched/b")
        self.assertEqual(watch.next(),
                         ("allocated", "watched/b", [second.relayed[4], again.relayed[4]]))
        second.refresh(0)
        self.assertEqual(watch.next(), ("ended", "watched/b", [again.relayed[4]]))
        self.control.arm("watched")  # no change to a leg
        self.control.end("watched")
        self.assertEqual({watch.next()[:2], watch.next()[:2]},
                         {("ended", "watched/a"), ("ended", "watched/b")})
        self.assertIsNone(watch.next(0.2))

    def test_refusals_say_what_to_do(self):
        details = self.assert_code(grpc.StatusCode.INVALID_ARGUMENT, self.control.arm, "not/a/call")
        self.assertIn("write 1 to 64 characters", details)
        self.control.disarm("unknown")
        self.control.end("unknown")

    def test_the_relay_tells_of_itself(self):
        relay = self.control.relay()
        self.assertTrue(relay.call_policy)
        self.assertEqual((relay.realm, relay.max_allocations), ("example.org", 10000))
        self.assertEqual(len(relay.listen), 2)
        self.assertIn("sotto.relay.v1.CallControl", self.control.services())


class Injection(CallControlTest):
    """Legs with valid credentials of another armed call, on the same relay."""

    sent = 0

    @classmethod
    def add_hosts(cls):
        cls.mallory = cls.lab.remote_host("mallory")

    def test_a_leg_of_another_armed_call_delivers_nothing(self):
        a, b = self.legs("victims")
        thieves = [self.leg(self.mallory, "thieves/a"), self.leg(self.mallory, "thieves/b")]
        thieves[0].bind(0x4001, thieves[1].relayed[4])
        thieves[1].bind(0x4001, thieves[0].relayed[4])
        self.control.arm("victims")
        self.control.arm("thieves")
        thieves[0].send_channel(0x4001, b"the thieves' own call works")
        self.assertIsNotNone(thieves[1].receive())
        for thief in thieves:
            for victim in (a, b):
                with self.assertRaises(TurnError) as refused:
                    thief.bind(0x4005, victim.relayed[4])
                self.assertEqual(refused.exception.code, 403)
                # A permission knows addresses alone, and all legs live at this one.
                thief.permit(victim.relayed[4][0])
                for _ in range(25):
                    thief.send(victim.relayed[4], b"injected by indication")
                    thief.send_channel(0x4005, b"injected by channel")
                    # Straight at the relayed address, from a client's address of another call.
                    thief.socket.sendto(b"injected from outside", victim.relayed[4])
                Injection.sent += 25
        self.assertIsNone(a.receive(0.5))
        self.assertIsNone(b.receive(0.1))
        self.assert_flows(a, b)  # undisturbed
        for thief in thieves:
            self.assertIsNone(thief.receive(0.1))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        drops = dict(re.findall(r"Packets dropped\. reason=(\w+) packets=(\d+)",
                                cls.relay.process.output()))
        # Indications and datagrams from outside; channels that can't be bound.
        for reason, attacks in (("call_not_connected", 2 * cls.sent),
                                ("channel_unbound", cls.sent)):
            if not 0 < attacks <= int(drops.get(reason, 0)):
                raise AssertionError(f"{attacks} times {reason}, but the relay counted {drops}")


class Door(CallControlTest):
    """Who gets in."""

    @classmethod
    def add_hosts(cls):
        cls.lab.path.chmod(0o755)
        certificates = cls.lab.path / "tls"
        certificates.mkdir()
        make_authority(certificates, "relay", "signald")
        make_authority(certificates, "impostor", prefix="other-")
        cls.tls = certificates
        cls.relay_options = {"policy": "call", "admin": f"""
group = "nogroup"
listen = "127.0.0.1:9640"
tls_ca = "{certificates}/ca.crt"
tls_cert = "{certificates}/relay.crt"
tls_key = "{certificates}/relay.key"
"""}

    def connect_as(self, uid, gid):
        """The end of a process of that user that connects to the socket."""
        script = (f"import os, socket; os.setgroups([]); os.setgid({gid}); os.setuid({uid}); "
                  f"socket.socket(socket.AF_UNIX).connect('{self.socket_path()}')")
        return subprocess.run([PYTHON, "-c", script], capture_output=True, text=True)

    def test_the_socket_is_for_its_group_alone(self):
        status = self.socket_path().stat()
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_gid), (0o660, NOGROUP))
        self.assertEqual(self.connect_as(NOBODY, NOGROUP).returncode, 0)
        refused = self.connect_as(STRANGER, STRANGER)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("PermissionError", refused.stderr)

    def over_tcp(self, *args, target="127.0.0.1:9640"):
        done = self.relay.host.run(PYTHON, CLIENT, target, "relay", *args, check=False)
        return done.returncode, done.stdout

    def files(self, ca, name):
        return ("--ca", self.tls / f"{ca}.crt", "--cert", self.tls / f"{name}.crt",
                "--key", self.tls / f"{name}.key")

    def test_tcp_takes_clients_with_a_certificate_of_its_authority_alone(self):
        status, answer = self.over_tcp(*self.files("ca", "signald"))
        self.assertEqual(status, 0, answer)
        self.assertIn('realm: "example.org"', answer)
        for what, args in (("no TLS", ()),
                           ("no certificate", ("--ca", self.tls / "ca.crt")),
                           ("another authority's", self.files("ca", "other-impostor")),
                           ("an issuer's own", self.files("ca", "other-ca"))):
            with self.subTest(what):
                status, answer = self.over_tcp(*args)
                self.assertEqual(status, 1, answer)
                self.assertRegex(answer, "^(UNAVAILABLE|DEADLINE_EXCEEDED)")
        # And a client that wants another relay isn't fooled.
        status, answer = self.over_tcp(*self.files("other-ca", "signald"))
        self.assertEqual(status, 1, answer)

    def test_nothing_is_reached_from_the_network(self):
        """The relay's own addresses are the dataplane's: there is no TCP."""
        with self.alice.entered():
            sock = socket.socket()
        sock.settimeout(1)
        with self.assertRaises(OSError):
            sock.connect((self.relay.ip[4], 9640))
        sock.close()


class End(CallControlTest):
    """SIGTERM while everybody wants something."""

    def test_it_ends_in_order_under_load(self):
        stop = threading.Event()
        counts = {"ok": 0, "refused": 0, "other": []}

        def hammer(number):
            client = CallControl(f"unix:{self.socket_path()}")
            while not stop.is_set():
                try:
                    client.arm(f"load-{number}")
                    counts["ok"] += 1
                except grpc.RpcError as error:
                    counts["refused"] += 1
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE,
                                            grpc.StatusCode.CANCELLED):
                        counts["other"].append((error.code(), error.details()))
                    time.sleep(0.01)
            client.close()

        threads = [threading.Thread(target=hammer, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            watches = [self.control.watch() for _ in range(4)]
            for watch in watches:
                self.assertEqual(watch.next(), ("all standing",))
            legs = [self.leg(self.alice, f"load-{n}/a") for n in range(4)]
            self.assertEqual(len(legs), 4)
            wait_for("answers under load", 20, lambda: counts["ok"] > 300)
            begin = time.monotonic()
            self.relay.stop_in_order()
            self.assertLess(time.monotonic() - begin, 5)
            wait_for("clients noticing", 10, lambda: counts["refused"] > 4)
        finally:
            stop.set()
            for thread in threads:
                thread.join(15)
        self.assertEqual(counts["other"], [])
        self.assertFalse(self.socket_path().exists())
        for watch in watches:
            while (event := watch.next()) and event[0] != "over":
                pass
            self.assertEqual(event, ("over", "UNAVAILABLE"))

    def tearDown(self):
        self.relay.restart()  # what is built on expects a running one
        super().tearDown()

    def test_a_killed_relay_leaves_a_socket_that_the_next_one_replaces(self):
        self.relay.process.signal(9)
        self.relay.process.wait(10)
        self.assertTrue(self.socket_path().exists())
        self.relay.restart()
        control = CallControl(f"unix:{self.socket_path()}")
        self.addCleanup(control.close)
        self.assertTrue(control.relay().call_policy)


if __name__ == "__main__":
    main()
