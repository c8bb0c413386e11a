# SPDX-License-Identifier: Apache-2.0
"""What an operator changes while the relay runs: users, secrets, credentials, log level; and what
refusals say. Each change is tried out by TURN clients."""

import base64
import hashlib
import hmac
import os
import pathlib
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from admin import Admin, grpc
from lab.relays import PASSWORD, SECRET, USER
from lab.test_case import LabTest, main
from lab.turn import Client, TurnError

NOBODY = 65534


class Changes(LabTest):
    @classmethod
    def add_hosts(cls):
        cls.kept = cls.lab.path / "kept"
        cls.kept.mkdir()
        os.chown(cls.kept, NOBODY, NOBODY)
        cls.kept.chmod(0o700)
        cls.file = cls.kept / "auth.toml"
        cls.relay_options = {"auth": f'file = "{cls.file}"', "process": 'user = "nobody"'}

    def setUp(self):
        super().setUp()
        self.admin = Admin(f"unix:{self.lab.path}/relay.sock")
        self.addCleanup(self.admin.close)

    def refused(self, code, method, **fields):
        with self.assertRaises(grpc.RpcError) as error:
            self.admin.call(method, **fields)
        self.assertEqual(error.exception.code(), code, error.exception.details())
        return error.exception.details()

    def login(self, user, password):
        """The error code of an allocation, or the client that holds it."""
        client = Client(self.alice.udp(4), self.relay.endpoint[4], user, password)
        try:
            client.allocate(4)
        except TurnError as error:
            return error.code
        self.addCleanup(self.end, client)
        return client

    def end(self, client):
        try:
            client.refresh(0)
        except TurnError:
            pass  # it has ended

    def test_users_come_and_go_and_outlive_the_process(self):
        self.assertEqual(self.login("erin", "erins-password"), 401)
        self.admin.call("AddUser", name="erin", password="erins-password")
        made = self.admin.call("AddUser", name="frank").password
        self.assertGreaterEqual(len(made), 24)
        erin, frank = self.login("erin", "erins-password"), self.login("frank", made)
        self.assertIsInstance(erin, Client)
        self.assertIsInstance(frank, Client)
        status = self.file.stat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid), (0o600, NOBODY))
        users = {u.name: (u.from_config, u.allocations) for u in self.admin.call("ListUsers").users}
        self.assertEqual(users, {USER: (True, 0), "erin": (False, 1), "frank": (False, 1)})

        self.assertEqual(self.admin.call("RemoveUser", name="erin", end_allocations=False).ended, 0)
        self.assertEqual(self.login("erin", "erins-password"), 401)
        erin.refresh(600)  # what runs goes on
        self.assertEqual(self.admin.call("RemoveUser", name="frank", end_allocations=True).ended, 1)
        with self.assertRaises(TurnError) as gone:
            frank.refresh(600)
        self.assertEqual(gone.exception.code, 401)  # 437 would need credentials

        self.admin.call("AddUser", name="grace", password="graces-password")
        self.relay.restart()
        self.assertIsInstance(self.login("grace", "graces-password"), Client)
        self.assertEqual(self.login("erin", "erins-password"), 401)
        with Admin(f"unix:{self.lab.path}/relay.sock") as admin:
            admin.call("RemoveUser", name="grace")

    def test_refusals_say_what_to_do(self):
        code = grpc.StatusCode
        self.assertIn("change it there",
                      self.refused(code.FAILED_PRECONDITION, "AddUser", name=USER,
                                                      password="another-password"))
        self.assertIn("there is no user", self.refused(code.NOT_FOUND, "RemoveUser", name="nobody"))
        self.assertIn("too short", self.refused(code.INVALID_ARGUMENT, "AddUser", name="x",
                                                password="x"))
        self.assertIn("control characters", self.refused(code.INVALID_ARGUMENT, "AddUser",
                                                         name="x\n", password="a-password"))
        self.assertIn("at most", self.refused(code.INVALID_ARGUMENT, "RotateSecret", keep=99))
        self.assertIn("ten years", self.refused(code.INVALID_ARGUMENT, "MintCredential", name="x",
                                                valid_s=1 << 40))
        self.assertIn("a year", self.refused(code.INVALID_ARGUMENT, "Drain", deadline_s=1 << 60))
        log = self.relay.process.output()
        for secret in (SECRET, PASSWORD, "another-password"):
            self.assertNotIn(secret, log)

    def test_secrets_are_rotated_and_credentials_minted(self):
        before = self.admin.call("ListSecrets").secrets
        self.assertEqual([(s.from_config, s.mints) for s in before], [(True, True)])
        digest = hmac.new(SECRET.encode(), b"sotto secret id", hashlib.sha256).hexdigest()
        self.assertEqual(before[0].id, digest[:8])

        old = self.admin.call("MintCredential", name="alice", valid_s=3600)
        expected = base64.b64encode(
            hmac.new(SECRET.encode(), old.username.encode(), hashlib.sha1).digest()).decode()
        self.assertEqual(old.password, expected)
        self.assertEqual(old.username, f"{old.expires_unix_s}:alice")
        self.assertEqual(list(old.urls), ["turn:192.0.2.10:3478?transport=udp",
                                          "turn:[2001:db8::10]:3478?transport=udp"])
        secrets = [self.admin.call("RotateSecret").secret for _ in range(3)]
        now = self.admin.call("ListSecrets").secrets
        self.assertEqual([(s.from_config, s.mints) for s in now],
                         [(False, True), (False, False), (True, False)])
        new = self.admin.call("MintCredential", name="alice")
        self.assertNotEqual(new.password, old.password)
        self.assertIsInstance(self.login(new.username, new.password), Client)
        self.assertIsInstance(self.login(old.username, old.password), Client)
        dropped = base64.b64encode(hmac.new(secrets[0].encode(), new.username.encode(),
                                            hashlib.sha1).digest()).decode()
        self.assertEqual(self.login(new.username, dropped), 401)
        log = self.relay.process.output()
        for secret in (*secrets, new.password):
            self.assertNotIn(secret, log)

    def test_the_daemon_tells_of_itself(self):
        daemon = self.admin.daemon("GetDaemon")
        self.assertEqual((daemon.name, daemon.pid), ("sotto-relayd", self.relay.process.pid))
        entries = {(e.section, e.name): e for e in self.admin.daemon("GetConfig").entries}
        users = entries["turn.auth", "users"]
        self.assertTrue(users.secret and users.reloadable and users.line and not users.standard)
        self.assertEqual(users.value, "")
        realm = entries["turn", "realm"]
        self.assertEqual((realm.value.strip("'\""), realm.reloadable), ("example.org", False))
        self.assertEqual(entries["interface#1", "mtu"].value, "0")
        self.assertTrue(entries["interface#1", "mtu"].standard)
        everything = str(self.admin.daemon("GetConfig"))
        self.assertNotIn(PASSWORD, everything)
        self.assertNotIn(SECRET, everything)

        self.assertEqual(self.admin.daemon("SetLogLevel", level="debug").previous, "info")
        self.assertEqual(self.admin.daemon("GetDaemon").log_level, "debug")
        self.assertEqual(self.admin.daemon("SetLogLevel", level="info").previous, "debug")
        with self.assertRaises(grpc.RpcError) as error:
            self.admin.daemon("SetLogLevel", level="loud")
        self.assertIn("must be debug, info, warning or error", error.exception.details())


class NoFolder(LabTest):
    def test_a_file_that_cannot_be_kept_is_named_at_the_start(self):
        folder = self.lab.path / "roots"
        folder.mkdir(mode=0o700)
        config = (self.lab.path / "relay.toml").read_text()
        config = config.replace("[turn.auth]", f'[turn.auth]\nfile = "{folder}/auth.toml"', 1)
        path = self.lab.path / "other.toml"
        path.write_text(config + '[process]\nuser = "nobody"\n')
        path.chmod(0o600)
        self.relay.process.stop(20)
        try:
            done = self.relay.host.run(self.relay.process.args[0], "--config", path, check=False)
        finally:
            self.relay.restart()
        self.assertEqual(done.returncode, 2, done.stderr)
        last = done.stderr.splitlines()[-1]
        self.assertIn(f"[turn.auth] file: {folder}/auth.toml", last)
        self.assertIn(f"let user {NOBODY} write to it", last)


if __name__ == "__main__":
    main()
