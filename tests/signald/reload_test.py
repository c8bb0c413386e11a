# SPDX-License-Identifier: Apache-2.0
"""Reload of a server with clients: all or nothing, nobody is disconnected, and what is named as
changed has changed."""

import pathlib
import signal
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.certificates import make_authority, make_key, public_key
from lab.device import HANG_UP, Device
from lab.websocket import Closed, WebSocket
from operated import NO_ANSWER, REFUSED, SOTTOCTL, OperatedTest, free_port


class ReloadTest(OperatedTest):
    def write(self, *changes, more=""):
        text = self.text
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        self.folder.write(text + more)

    def reload(self):
        return self.json("reload")

    def refused(self):
        return self.ctl("reload", code=REFUSED).stderr

    def hang_up(self, expect):
        before = self.daemon.output().count(expect)
        self.daemon.signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self.daemon.output().count(expect) == before:
            self.assertLess(time.monotonic(), end, self.daemon.output())
            time.sleep(0.02)

    def config(self):
        return self.json("config", "show")


class Reload(ReloadTest):
    def setUp(self):
        super().setUp()
        self.start()

    def test_a_bad_file_a_hundred_times_in_a_row_changes_nothing(self):
        before = self.config()
        alice = self.device("alice")
        good_key = (self.folder.path / "key.pem").read_bytes()
        broken = [((('"a-long-secret"', '"short"'),), "[relay] secret"),
                  ((("tls_cert", "tls_crt"),), "did you mean tls_cert?"),
                  ((("[identity]", "[identity"),), "is not valid TOML"),
                  (((f"{self.folder.path}/identity.pem", f"{self.folder.path}/operator.pem"),),
                   "contains a private key"),
                  (((f"{self.folder.path}/cert.pem", f"{self.folder.path}/no.pem"),), "no.pem")]
        for i in range(100):
            # Each with changes that are good beside what is wrong.
            changes, said = broken[i % len(broken)]
            self.write(*changes, more=f'[limits]\nmax_sessions = {1 + i}\n[log]\nlevel = "debug"\n')
            self.assertIn(said, self.refused())
        self.hang_up("Reload failed; the previous configuration stays in force.")
        self.assertEqual(self.config(), before)
        # Half of a pair of new files.
        self.write()
        self.folder.make_certificate()
        (self.folder.path / "key.pem").write_bytes(good_key)
        self.assertIn("key", self.refused())
        self.assertEqual(self.config(), before)
        self.assertNotIn("debug", self.daemon.output())
        alice.ping()
        self.assertEqual(self.json("status")["sessions"], 1)

    def test_limits_and_origins(self):
        alice = self.device("alice")
        self.write(more='[limits]\nmax_sessions = 1\n')
        self.assertEqual(self.reload(), {"reloadable": ["[limits] max_sessions"], "init_only": [],
                                         "warnings": []})
        with self.assertRaises(Closed) as refused:
            self.device("bob")
        self.assertEqual(refused.exception.code, 4429)
        alice.ping()
        self.write(more='[limits]\nmax_connections_per_prefix = 1\n')
        self.reload()
        self.assertEqual(self.daemon.connect_tcp().recv(1), b"", "a second connection was taken")
        alice.ping()
        self.write(("[identity]", 'origins = ["https://app.example.org"]\n[identity]'))
        self.assertEqual(self.reload()["reloadable"],
                         ["[limits] max_connections_per_prefix", "[server] origins"])
        self.device("bob")

        for origin, status in (("https://evil.example.org", 403), ("https://app.example.org", 101)):
            self.assertEqual(WebSocket(self.daemon.connect(), origin=origin).status, status)

    def test_init_only_keys_are_named_and_kept(self):
        self.write((f"{self.folder.path}/signald.db", f"{self.folder.path}/other.db"),
                   more="[calls]\nring_s = 9\n")
        change = self.reload()
        self.assertEqual(change["init_only"], ["[calls] ring_s", "[store] path"])
        self.assertEqual(change["reloadable"], [])
        self.assertIn('takes effect only after a restart. key="[calls] ring_s"',
                      self.daemon.output())
        self.assertEqual(self.reload()["init_only"], change["init_only"])
        self.assertFalse((self.folder.path / "other.db").exists())

    def test_a_relays_secret_and_urls(self):
        alice = self.device("alice")
        credential = lambda: alice.answer(alice.place("bob"))[20][0]
        self.assertIn(b"turn:127.0.0.1:3478", credential())
        self.write(("turn:127.0.0.1:3478", "turn:192.0.2.99:3478"),
                   ('"a-long-secret"', '"another-long-secret"'))
        self.assertEqual(self.reload()["reloadable"], ["[relay] secret", "[relay] urls"])
        self.assertIn(b"turn:192.0.2.99:3478", credential())
        for text in (self.daemon.output(), self.table("config", "show")):
            self.assertNotIn("long-secret", text)

    def test_the_list_of_relays(self):
        def names():
            return [relay["name"] for relay in self.json("status")["relays"]]

        alice = self.device("alice")
        call = alice.call("bob")
        self.write(more='[[relay]]\nname = "second"\ncontrol = "unix:/nowhere/2.sock"\n'
                        'urls = ["turn:192.0.2.2"]\nsecret = "a-second-secret"\n')
        self.assertEqual(self.reload()["reloadable"],
                         [f"[relay] {key}" for key in ("control", "name", "secret", "urls")])
        self.assertEqual(names(), ["relay", "second"])
        self.write(('name = "relay"', 'name = "another"'))
        self.assertEqual(self.reload()["init_only"], [])
        self.assertEqual(names(), ["another"])
        # The call that was placed with a relay that is there no more.
        alice.done(HANG_UP, {1: call})
        alice.call("bob")

    def test_identity_keys_and_issuer(self):
        def identity(key, *args):
            return self.table("identity", "new", "dora", "--identity-key", self.folder.path / key,
                              *args).strip()

        def taken(jwt):
            dora = Device(self.daemon, "dora", connect=False)
            dora.identity = jwt
            try:
                dora.connect(self.daemon)
            except Closed as closed:
                self.assertEqual(closed.code, 4401)
                return False
            dora.close()
            return True

        make_key(self.folder.path / "next.pem")
        public = public_key(self.folder.path / "next.pem").encode()
        old, new = identity("operator.pem"), identity("next.pem")
        self.assertEqual((taken(old), taken(new)), (True, False))
        keys = self.folder.path / "identity.pem"
        keys.write_bytes(keys.read_bytes() + public)
        self.assertEqual(self.reload()["reloadable"], ["[identity] keys"])
        self.assertEqual((taken(old), taken(new)), (True, True))
        keys.write_bytes(public)
        self.reload()
        self.assertEqual((taken(old), taken(new)), (False, True))
        self.assertEqual(self.reload()["reloadable"], [])
        self.write(("[identity]", '[identity]\nissuer = "https://login.example.org"'))
        self.assertEqual(self.reload()["reloadable"], ["[identity] issuer"])
        self.assertEqual((taken(new), taken(identity("next.pem", "--issuer",
                                                     "https://login.example.org"))), (False, True))

    def test_the_log_until_the_next_reload(self):
        self.ctl("log", "level", "debug")
        self.assertEqual(self.json("status")["sessions"], 0)
        self.write(more='[log]\nlevel = "warning"\n')
        self.assertEqual(self.reload()["reloadable"], ["[log] level"])
        self.assertEqual(self.json("log", "level", "info")["previous"], "warning")


class Certificates(ReloadTest):
    def setUp(self):
        super().setUp()
        make_authority(self.folder.path, "server", "operator")
        make_authority(self.folder.path, "server", "operator", prefix="next-")
        self.port = free_port()
        self.start(f'listen = "127.0.0.1:{self.port}"\ntls_ca = "{self.folder.path}/ca.crt"\n'
                   f'tls_cert = "{self.folder.path}/server.crt"\n'
                   f'tls_key = "{self.folder.path}/server.key"\n')

    def served(self, prefix, ca):
        path = self.folder.path
        done = subprocess.run(
            [SOTTOCTL, "--signaling", "--target", f"127.0.0.1:{self.port}", "--ca", ca, "--cert",
             path / f"{prefix}operator.crt", "--key", path / f"{prefix}operator.key", "status"],
            capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (0, NO_ANSWER), done)
        return done.returncode == 0

    def test_operators_certificates_are_replaced_all_or_none(self):
        path = self.folder.path
        old_ca = path / "kept-ca.crt"
        old_ca.write_bytes((path / "ca.crt").read_bytes())
        self.assertEqual((self.served("", old_ca), self.served("next-", old_ca)), (True, False))
        (path / "server.crt").write_bytes((path / "next-server.crt").read_bytes())
        self.assertIn("server.key", self.refused())
        self.assertTrue(self.served("", old_ca))
        for name in ("server.crt", "server.key", "ca.crt"):
            (path / name).write_bytes((path / f"next-{name}").read_bytes())
        self.assertEqual(self.reload()["reloadable"], ["[admin] tls_cert"])
        self.assertEqual((self.served("next-", path / "next-ca.crt"), self.served("", old_ca)),
                         (True, False))
        self.assertEqual(self.reload()["reloadable"], [])

    def test_certificates_towards_relays(self):
        path = self.folder.path
        self.write(more=f'''[[relay]]
name = "far"
control = "127.0.0.1:{free_port()}"
urls = ["turn:192.0.2.2"]
secret = "a-second-secret"
tls_ca = "{path}/ca.crt"
tls_cert = "{path}/operator.crt"
tls_key = "{path}/operator.key"
''')
        self.reload()
        self.assertEqual(self.reload()["reloadable"], [])
        (path / "operator.crt").write_bytes((path / "next-operator.crt").read_bytes())
        self.assertIn('relay "far"', self.refused())
        (path / "operator.key").write_bytes((path / "next-operator.key").read_bytes())
        self.assertEqual(self.reload()["reloadable"], ["[relay] tls_cert"])

    def test_clients_certificates(self):
        alice = self.device("alice")
        before = self.daemon.tls_context()
        self.folder.make_certificate()
        self.assertEqual(self.reload()["reloadable"], ["[server] tls_cert"])
        alice.ping()
        self.device("bob")
        with self.assertRaises(ssl.SSLCertVerificationError):
            before.wrap_socket(self.daemon.connect_tcp(), server_hostname="localhost")


if __name__ == "__main__":
    unittest.main(verbosity=2)
