# SPDX-License-Identifier: Apache-2.0
"""Every command of sottoctl about signaling against a server that runs: as a table, as JSON and,
where it changes something, what it changed."""

import os
import pathlib
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.certificates import make_authority
from lab.device import (ACCEPT_CALL, CALL_ENDED, CALL_PLACED, CALL_STOPPED, EPOCH_S, GET_KEYS,
                        INCOMING_CALL, REVOKE_TOKENS, Device, EpochKey, epoch_now)
from lab.environment import SANITIZED
from lab.protobuf import decode, one
from lab.websocket import Closed
from operated import NOT_FOUND, NO_ANSWER, REFUSED, SOTTOCTL, OperatedTest, free_port

BLOCKED, STOPPING, IDENTITY = 4403, 1001, 4401


class Look(OperatedTest):
    def setUp(self):
        super().setUp()
        self.start()

    def test_status(self):
        self.device("alice")
        status = self.json("status")
        self.assertEqual((status["connections"], status["sessions"], status["calls"]), (1, 1, 0))
        relay, = status["relays"]
        self.assertEqual((relay["name"], relay["up"]), ("relay", False))
        self.assertIn("doesn't answer", relay["problem"])
        self.assertGreater(status["store_queue_capacity"], 1000)
        self.assertIn("Sessions            1\n", self.table("status"))

    def test_sessions(self):
        alice, phone, laptop = self.device("alice"), self.device("bob"), self.device("bob")
        laptop.close()
        end = time.monotonic() + 10
        while all(s["connected"] for s in self.json("sessions")) and time.monotonic() < end:
            time.sleep(0.05)
        sessions = self.json("sessions")
        self.assertEqual([(s["account"], s["device"], s["connected"]) for s in sessions],
                         [("alice", alice.id.hex(), True), ("bob", phone.id.hex(), True),
                          ("bob", laptop.id.hex(), False)])
        self.assertGreater(sessions[0]["identity_ends_in_s"], 60)
        self.assertEqual(len(self.json("sessions", "--account", "bob")), 2)
        self.assertEqual(self.json("sessions", "--account", "carol"), [])
        self.assertEqual(len(self.json("sessions", "--limit", "2")), 2)
        self.assertIn(phone.id.hex(), self.table("sessions"))
        self.assertIn("is not a valid name",
                      self.ctl("sessions", "--account", "b b", code=REFUSED).stderr)

        id_of_phone = sessions[1]["id"]
        self.assertEqual(self.table("sessions", "end", id_of_phone),
                         f"Ended session {id_of_phone}.\n")
        self.assertEqual(phone.websocket.receive_close(), STOPPING)
        self.ctl("sessions", "end", id_of_phone, code=NOT_FOUND)
        alice.ping()
        self.assertEqual([s["account"] for s in self.json("sessions")], ["alice", "bob"])
        self.device("bob", device_id=phone.id)

    def test_a_list_of_several_pieces_is_whole_and_in_order(self):
        self.text += "[limits]\nmax_connections_per_prefix = 5000\n"
        self.restart()
        accounts = [f"user-{i:04}" for i in range(300)]  # a piece is 256 at most
        for account in accounts:
            self.device(account)
        listed = self.json("sessions")
        self.assertEqual([session["account"] for session in listed], accounts)
        self.assertEqual(len({session["id"] for session in listed}), len(accounts))

    def test_accounts(self):
        self.ctl("accounts", "show", "bob", code=NOT_FOUND)
        bob, alice = self.device("bob"), self.device("alice")
        bob.put_settings(silence=True)
        self.register(bob, EpochKey("bob"))
        alice.call("bob")
        alice.ping()
        shown = self.wait_for_account("alice", placed=1, silenced=1)
        self.assertFalse(shown["blocked"])
        bobs = self.wait_for_account("bob", notices_waiting=1)
        self.assertTrue(bobs["silence_unknown_callers"])
        self.assertEqual((bobs["devices"], bobs["sessions"], bobs["epochs"], bobs["placed"]),
                         ([bob.id.hex()], 1, 1, 0))
        table = self.table("accounts", "show", "bob")
        self.assertIn("Silences unknown callers  yes\n", table)
        self.assertIn("Notices waiting           1\n", table)

    def wait_for_account(self, account, **wanted):
        end = time.monotonic() + 10
        while True:
            shown = self.json("accounts", "show", account)
            if {key: shown[key] for key in wanted} == wanted:
                return shown
            self.assertLess(time.monotonic(), end, shown)
            time.sleep(0.05)

    def test_tokens(self):
        bob, alice = self.device("bob"), self.device("alice")
        bob.put_settings(silence=True)
        key = EpochKey("bob")
        token = key.token()
        inspect = lambda of=token, account="bob": self.json("tokens", "inspect", account, of.hex())
        self.assertEqual(inspect()["would_ring"], False)
        self.assertIn("no key registered for the token's epoch", inspect()["sentence"])
        self.register(bob, key)
        for _ in range(3):  # looking takes no use of it
            self.assertTrue(inspect()["would_ring"])
        good = inspect()
        self.assertEqual((good["epoch"], good["serial"]), (epoch_now(), token[5:21].hex()))
        self.assertIn("would ring", self.table("tokens", "inspect", "bob", token.hex()).lower())
        self.register(alice, EpochKey("alice"))
        self.assertIn("was not made with the account's key", inspect(account="alice")["sentence"])
        alice.call("bob", token)
        bob.wait_for(INCOMING_CALL)
        self.assertIn("no uses left", inspect()["sentence"])
        self.assertFalse(inspect()["would_ring"])
        other = key.token()
        bob.done(REVOKE_TOKENS, {1: key.epoch, 2: other[5:21]})
        self.assertIn("revoked", inspect(other)["sentence"])
        forged = bytearray(key.token())
        forged[-1] ^= 1
        self.assertFalse(inspect(bytes(forged))["signature_valid"])
        last = self.ctl("-o", "json", "tokens", "inspect", "bob", "-", stdin=key.token().hex())
        self.assertIn('"would_ring": true', last.stdout)
        self.ctl("tokens", "inspect", "nobody", token.hex(), code=NOT_FOUND)
        self.assertIn("not a token", self.ctl("tokens", "inspect", "bob", "02" + token.hex()[2:],
                                             code=REFUSED).stderr)
        self.assertNotIn(token.hex(), self.daemon.output())

    def test_epochs(self):
        self.ctl("epochs", "bob", code=NOT_FOUND)
        bob = self.device("bob")
        keys = [EpochKey("bob", epoch_now() + i, uses=3) for i in range(2)]
        for key in keys:
            self.register(bob, key)
        shown = self.json("epochs", "bob")
        self.assertEqual(shown["current"], epoch_now())
        self.assertEqual([(e["epoch"], e["public_key"], e["uses"]) for e in shown["epochs"]],
                         [(k.epoch, k.public.raw.hex(), 3) for k in keys])
        self.assertEqual(shown["epochs"][0]["begins_unix_s"], epoch_now() * EPOCH_S)
        self.assertEqual(shown["epochs"][0]["ends_unix_s"], (epoch_now() + 2) * EPOCH_S)
        self.assertIn(f"Current epoch: {epoch_now()}", self.table("epochs", "bob"))

    def test_identities_that_sottoctl_makes_are_taken(self):
        identity = self.table("identity", "new", "dora", "--identity-key",
                              self.folder.path / "operator.pem").strip()
        dora = Device(self.daemon, "dora", connect=False)
        dora.identity = identity
        dora.connect(self.daemon)
        self.addCleanup(dora.close)
        self.assertEqual(one(dora.welcome, 3), b"dora")
        self.assertNotIn(identity, self.daemon.output())

    def test_what_both_daemons_have(self):
        self.assertIn(str(self.socket), self.table("config", "show"))
        self.assertNotIn("a-long-secret", self.table("config", "show"))
        self.assertEqual(self.json("log", "level", "debug")["previous"], "info")
        self.assertEqual(self.json("log", "level", "info")["previous"], "debug")
        draft = self.folder.write(self.text + "[log]\nlevel = \"warning\"\n", "draft.toml")
        self.assertIn("[log] level", self.table("config", "diff", draft))
        bad = self.folder.write(self.text.replace("tls_cert", "tls_crt"), "bad.toml")
        self.assertIn("did you mean tls_cert?",
                      self.ctl("config", "check", bad, code=REFUSED).stderr)
        self.assertEqual(self.json("reload"), {"init_only": [], "reloadable": [], "warnings": []})
        self.assertIn("Nothing changed", self.table("reload"))


class Ends(OperatedTest):
    def test_the_server_ends_while_it_is_asked(self):
        port = free_port()
        self.start(f'[metrics]\nlisten = "127.0.0.1:{port}"\n[limits]\n'
                   "max_connections_per_prefix = 5000\n")
        for i in range(60 if SANITIZED else 300):
            self.device(f"user-{i}")
        command = [SOTTOCTL, "--signaling", "--target", f"unix:{self.socket}"]
        asking = [subprocess.Popen(
            ["sh", "-c", 'while "$@" >/dev/null 2>&1; do :; done', "sh", *command, *what])
            for what in (["sessions"], ["reload"], ["status"], ["accounts", "show", "user-1"],
                         ["epochs", "user-1"])]
        scraping = subprocess.Popen(["sh", "-c", 'while curl -fs "$0" >/dev/null; do :; done',
                                     f"http://127.0.0.1:{port}/metrics"])
        self.addCleanup(lambda: [process.kill() for process in (*asking, scraping)])
        time.sleep(2)
        began = time.monotonic()
        self.assertEqual(self.daemon.end(), 0)
        self.assertLess(time.monotonic() - began, 10)
        for process in (*asking, scraping):
            process.wait(30)  # as it has no answer any more
        self.assertFalse(self.socket.exists())
        self.assertNotIn(" error ", self.daemon.output())


class Block(OperatedTest):
    def setUp(self):
        super().setUp()
        self.start("[calls]\nring_s = 2\n")

    def refused(self, account, **options):
        with self.assertRaises(Closed) as refused:
            self.device(account, **options)
        return refused.exception.code

    def test_a_blocked_account_is_out_at_once_and_stays_out(self):
        phone, laptop, alice = self.device("bob"), self.device("bob"), self.device("alice")
        self.assertEqual(self.table("accounts", "block", "bob"),
                         "Blocked account bob; 2 of its sessions ended.\n")
        for device in (phone, laptop):
            self.assertEqual(device.websocket.receive_close(), BLOCKED)
        alice.ping()
        self.assertEqual([s["account"] for s in self.json("sessions")], ["alice"])
        self.assertTrue(self.json("accounts", "show", "bob")["blocked"])
        self.assertEqual(self.refused("bob"), BLOCKED)
        self.assertEqual(self.refused("bob", device_id=phone.id, resume=one(phone.welcome, 1)),
                         BLOCKED)
        self.restart()
        self.assertEqual(self.refused("bob"), BLOCKED)
        again = self.json("accounts", "block", "bob")
        self.assertEqual((again["blocked"], again["sessions_ended"]), (True, 0))
        self.assertFalse(self.json("accounts", "unblock", "bob")["blocked"])
        self.device("bob")
        self.ctl("accounts", "unblock", "nobody", code=NOT_FOUND)
        self.assertIn("is not a valid name",
                      self.ctl("accounts", "block", "no body", code=REFUSED).stderr)

    def test_calls_of_a_blocked_account_end(self):
        alice, bob = self.device("alice"), self.device("bob")
        call = alice.call("bob")
        bob.wait_for(INCOMING_CALL)
        bob.done(ACCEPT_CALL, {1: call, 2: b"a" * 512})
        ringing = self.device("carol")
        ringing.call("bob")
        bob.wait_for(INCOMING_CALL)
        self.ctl("accounts", "block", "carol")
        bob.wait_for(CALL_STOPPED)
        self.ctl("accounts", "block", "bob")
        self.assertEqual(one(alice.wait_for(CALL_ENDED), 1), call)

    def test_whoever_calls_a_blocked_account_sees_what_nobody_shows(self):
        alice, bob = self.device("alice"), self.device("bob")
        key = EpochKey("bob")
        self.register(bob, key)
        keys = one(decode(alice.request(GET_KEYS, {1: "bob"})[16][0]), 2)
        self.ctl("accounts", "block", "bob")
        self.assertEqual(one(decode(alice.request(GET_KEYS, {1: "bob"})[16][0]), 2), keys,
                         "an account's keys tell that it is blocked")
        shapes = []
        for recipient, token in (("nobody", key.token()), ("bob", key.token()), ("bob", b"")):
            del alice.received[:]
            began = time.monotonic()
            frame = alice.answer(alice.place(recipient, token))
            self.assertIn(CALL_PLACED, frame)
            alice.wait_for(CALL_ENDED)
            took = time.monotonic() - began
            self.assertTrue(1.9 < took < 3, took)
            shapes.append([len(received) for received in alice.received])
        # Sequence numbers grow by a byte now and then; that's all that may differ.
        for shape in shapes[1:]:
            self.assertEqual(len(shape), len(shapes[0]))
            for size, first in zip(shape, shapes[0]):
                self.assertLessEqual(abs(size - first), 2)
        self.ctl("accounts", "unblock", "bob")
        bob = self.device("bob", device_id=bob.id, notice_keys=bob.notice_keys)
        bob.ping()
        self.assertEqual(bob.notices(), [], "of calls while it was blocked nothing is told")


class Reached(OperatedTest):
    """By whom the socket and the port may be reached."""

    def start(self, more=""):
        # So that it's the socket that refuses, not the way to it.
        self.folder.path.chmod(0o755)
        return super().start(more)

    def as_nobody(self):
        return subprocess.run(
            ["su", "nobody", "-s", "/bin/sh", "-c",
             f"exec {self.tool} --signaling --target unix:{self.socket} status"],
            capture_output=True, text=True, timeout=60)

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root, to be another user")
        self.tool = pathlib.Path("/tmp") / f"sottoctl-{os.getpid()}"
        shutil.copy(SOTTOCTL, self.tool)
        self.tool.chmod(0o755)
        self.addCleanup(self.tool.unlink)

    def test_other_users_are_refused(self):
        self.start()
        self.assertEqual(self.socket.stat().st_mode & 0o777, 0o660)
        refused = self.as_nobody()
        self.assertEqual(refused.returncode, NO_ANSWER, refused)
        self.assertIn("no permission for", refused.stderr)
        self.json("status")

    def test_members_of_the_group_are_let_in(self):
        self.text = self.text.replace(f'socket = "{self.socket}"\n',
                                      f'socket = "{self.socket}"\ngroup = "nogroup"\n')
        self.start()
        let_in = self.as_nobody()
        self.assertEqual(let_in.returncode, 0, let_in)
        self.assertEqual(pwd.getpwnam("nobody").pw_gid, self.socket.stat().st_gid)

    def test_tcp_needs_a_certificate_of_the_authority(self):
        make_authority(self.folder.path, "server", "operator")
        make_authority(self.folder.path, "server", "operator", prefix="other-")
        port = free_port()
        self.start(f'listen = "127.0.0.1:{port}"\ntls_ca = "{self.folder.path}/ca.crt"\n'
                   f'tls_cert = "{self.folder.path}/server.crt"\n'
                   f'tls_key = "{self.folder.path}/server.key"\n')
        path = self.folder.path

        def status(prefix):
            return subprocess.run(
                [SOTTOCTL, "--signaling", "--target", f"127.0.0.1:{port}", "--ca", path / "ca.crt",
                 "--cert", path / f"{prefix}operator.crt", "--key", path / f"{prefix}operator.key",
                 "-o", "json", "status"], capture_output=True, text=True, timeout=60)

        served = status("")
        self.assertEqual(served.returncode, 0, served)
        self.assertIn('"sessions": 0', served.stdout)
        self.assertEqual(status("other-").returncode, NO_ANSWER)

        def greeting(**certificate):
            """What the server says first: an HTTP/2 SETTINGS frame, or nothing."""
            context = ssl.create_default_context(cafile=path / "ca.crt")
            context.set_alpn_protocols(["h2"])
            if certificate:
                context.load_cert_chain(**certificate)
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                try:
                    with context.wrap_socket(connection, server_hostname="127.0.0.1") as tls:
                        return tls.recv(9)
                except (ssl.SSLError, ConnectionError):
                    return b""

        self.assertEqual(greeting(), b"", "a client without a certificate was let in")
        self.assertEqual(len(greeting(certfile=path / "operator.crt",
                                      keyfile=path / "operator.key")), 9)
        self.json("status")

    def test_reflection_names_the_services(self):
        self.start()
        listed = subprocess.run(["/usr/bin/python3", "-B", "-c", REFLECT, f"unix:{self.socket}"],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertEqual(listed.stdout.split(),
                         ["grpc.reflection.v1alpha.ServerReflection", "sotto.daemon.v1.Daemon",
                          "sotto.signaling.v1.SignalingAdmin"])


# The request is ServerReflectionRequest.list_services = "", field 7; without Debian's stubs.
REFLECT = r"""
import re, sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                             request_serializer=bytes, response_deserializer=bytes)
answer = next(iter(call(iter([b"\x3a\x00"]), timeout=20)))
for name in sorted(re.findall(rb"[a-z0-9]+(?:\.[a-z0-9]+)+\.[A-Z][A-Za-z]+", answer)):
    print(name.decode())
"""

if __name__ == "__main__":
    unittest.main(verbosity=2)
