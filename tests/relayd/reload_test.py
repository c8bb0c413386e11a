# SPDX-License-Identifier: Apache-2.0
"""Reload while calls run: nothing is lost, all or nothing, and what is named as changed has
changed."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from admin import Admin, grpc
from lab.certificates import make_authority
from lab.environment import SANITIZED
from lab.loadgen import Calls, check_clean
from lab.processes import wait_for
from lab.relays import PASSWORD, USER
from lab.test_case import LabTest, main
from lab.turn import Client, TurnError

CALLS = 100
PPS = 1_000 if SANITIZED else 4_000
PYTHON = "/usr/bin/python3"
CLIENT = pathlib.Path(__file__).with_name("call_control.py")


class ReloadTest(LabTest):
    def setUp(self):
        super().setUp()
        self.config = self.lab.path / "relay.toml"
        self.text = self.config.read_text()
        self.admin = Admin(f"unix:{self.lab.path}/relay.sock")
        self.addCleanup(self.admin.close)
        self.addCleanup(self.restore)

    def restore(self):
        self.config.write_text(self.text)
        with Admin(f"unix:{self.lab.path}/relay.sock") as admin:
            admin.daemon("Reload")

    def write(self, *changes, more=""):
        text = self.text
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        self.config.write_text(text + more)

    def reload(self):
        return self.admin.daemon("Reload")

    def refused(self):
        with self.assertRaises(grpc.RpcError) as error:
            self.reload()
        self.assertEqual(error.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        return error.exception.details()

    def reload_by_signal(self, expect="Reloaded the configuration."):
        before = self.relay.process.output().count(expect)
        self.relay.process.signal(signal.SIGHUP)
        wait_for(f"the log saying {expect!r}", 10,
                 lambda: self.relay.process.output().count(expect) > before)

    def sweep(self):
        """What a reload means for allocations that stand comes with the ticks after it."""
        time.sleep(0.2)

    def client(self, host=None, user=USER, password=PASSWORD):
        return Client((host or self.alice).udp(4), self.relay.endpoint[4], user, password)


class Reload(ReloadTest):
    def test_calls_lose_nothing_while_everything_is_reloaded(self):
        calls = Calls(self.relay, self.alice, self.bob, CALLS, PPS, 8)
        wait_for("the calls' allocations", 30,
                 lambda: self.admin.call("GetStatus").allocations == 2 * CALLS)
        reloads = 0
        while calls.running() and reloads < 150:
            self.write((f'"{PASSWORD}"', f'"a-password-{reloads}"'),
                       ("shared_secrets = [", f'shared_secrets = ["secret-{reloads}", '),
                       ('level = "info"', f'level = "{("info", "warning")[reloads % 2]}"'),
                       more=f"[turn.limits]\nmax_allocations_per_user = {1 + reloads}\n")
            change = self.reload()
            self.assertIn("[turn.auth] users", change.reloadable)
            self.config.write_text("no configuration")
            self.refused()
            if reloads % 25 == 0:
                self.reload_by_signal("Reload failed; the previous configuration stays in force.")
            reloads += 1
            time.sleep(0.03)
        report = calls.report()
        check_clean(self, report, CALLS)
        self.assertGreaterEqual(reloads, 50)

    def test_a_bad_file_a_hundred_times_in_a_row_changes_nothing(self):
        before = str(self.admin.daemon("GetConfig"))
        broken = [(('"a-long-secret"', '"short"'), "relay.toml:"),
                  (('policy = "public"', 'policy = "pubic"'), "[turn.peers] policy"),
                  (("[turn.auth]", "[turn.auth"), "is not valid TOML"),
                  (('level = "info"', 'level = "loud"'), "[log] level")]
        for i in range(100):
            change, said = broken[i % len(broken)]
            self.write(change)
            self.assertIn(said, self.refused())
        self.reload_by_signal("Reload failed; the previous configuration stays in force.")
        self.assertEqual(str(self.admin.daemon("GetConfig")), before)
        client = self.client()
        client.allocate(4)
        client.refresh(0)

    def test_init_only_keys_are_named_and_kept(self):
        self.write(("workers = 1", "workers = 2"),
                   ('realm = "example.org"', 'realm = "example.net"'))
        change = self.reload()
        self.assertEqual(list(change.init_only), ["[dataplane] workers", "[turn] realm"])
        self.assertEqual(list(change.reloadable), [])
        log = self.relay.process.output()
        self.assertIn('takes effect only after a restart. key="[turn] realm"', log)
        client = self.client()
        client.allocate(4)
        client.refresh(0)

    def test_a_check_changes_nothing(self):
        text = self.text.replace(PASSWORD, "another-password")
        change = self.admin.daemon("CheckConfig", text=text, name="draft.toml")
        self.assertEqual(list(change.reloadable), ["[turn.auth] users"])
        self.write(("workers = 1", "workers = 2"))
        self.assertEqual(list(self.admin.daemon("CheckConfig").init_only), ["[dataplane] workers"])
        with self.assertRaises(grpc.RpcError) as error:
            self.admin.daemon("CheckConfig", text="[turn]\nrelm = 1\n", name="draft.toml")
        self.assertIn('draft.toml:2: [turn] has no key "relm"; did you mean realm?',
                      error.exception.details())
        client = self.client()
        client.allocate(4)
        client.refresh(0)

    def test_users_and_quotas(self):
        running = [self.client(), self.client()]
        for client in running:
            client.allocate(4)
        self.write((f'{USER} = "{PASSWORD}"',
                    f'{USER} = "a-new-password", erin = "erins-password"'),
                   more="[turn.limits]\nmax_allocations_per_user = 1\n")
        self.reload_by_signal()
        self.sweep()
        with self.assertRaises(TurnError) as refused:
            self.client().allocate(4)
        self.assertEqual(refused.exception.code, 401)
        with self.assertRaises(TurnError) as refused:
            self.client(password="a-new-password").allocate(4)
        self.assertEqual(refused.exception.code, 486)
        erin = self.client(user="erin", password="erins-password")
        erin.allocate(4)
        for client in (*running, erin):
            client.refresh(600)
            client.refresh(0)
        refusals = {r.name: r.count for r in self.admin.call("GetCounters").refusals}
        self.assertEqual(refusals["user_quota"], 1)

    def test_rates_hold_from_the_next_packet_on_and_are_counted(self):
        a, other = self.client(), self.client()
        for client in (a, other):
            client.allocate(4)
        peer = self.bob.udp(4)
        peer.settimeout(0.3)
        address = peer.getsockname()
        a.bind(0x4001, address)
        other.bind(0x4001, address)

        def arrive(send, receive, count=60):
            for i in range(count):
                send(b"%3d" % i + bytes(97))
            arrived = 0
            try:
                while receive():
                    arrived += 1
            except TimeoutError:
                pass
            return arrived

        def from_client(client):
            return arrive(lambda data: client.send_channel(0x4001, data), lambda: peer.recv(200))

        def from_peer(client):
            return arrive(lambda data: peer.sendto(data, client.relayed[4]),
                          lambda: client.receive(0.3))

        def drops():
            drops = {d.name: d.count for d in self.admin.call("GetCounters").drops}
            return drops["allocation_rate"], drops["user_rate"]

        self.assertEqual((from_client(a), from_peer(a)), (60, 60))
        # A packet of this size is 132 or 128 bytes.
        self.write(more="[turn.limits]\npackets_per_allocation = 5\nbytes_per_user = 1_000_000\n")
        self.reload()
        self.sweep()
        for client in (a, other):
            self.assertIn(from_client(client), range(6, 12))
            self.assertIn(from_peer(client), range(6, 12))
        by_allocation, by_user = drops()
        self.assertIn(by_allocation, range(4 * 48, 4 * 54 + 1))
        self.assertEqual(by_user, 0)

        self.write(more="[turn.limits]\nbytes_per_user = 2_000\n")
        self.reload()
        # The two are of one user: what the first leaves is the other's.
        self.assertIn(from_client(a), range(15, 22))
        self.assertIn(from_client(other), range(0, 15))
        self.assertIn(from_peer(a), range(15, 22))
        self.assertEqual(drops()[0], by_allocation)
        self.assertGreater(drops()[1], 3 * 60 - 60)

        self.config.write_text(self.text)
        self.reload()
        self.assertEqual((from_client(a), from_peer(other)), (60, 60))
        for client in (a, other):
            client.refresh(0)

    def test_a_peer_that_is_denied_now_is_cut_off_at_once(self):
        a = self.client()
        a.allocate(4)
        peer = self.bob.udp(4)
        address = peer.getsockname()
        a.bind(0x4001, address)
        a.send_channel(0x4001, b"before")
        self.assertEqual(peer.recv(100), b"before")
        peer.sendto(b"back", a.relayed[4])
        self.assertIsNotNone(a.receive())
        self.write(("[turn.peers]", f'[turn.peers]\ndeny = ["{address[0]}/32"]'))
        self.reload()
        self.sweep()
        for _ in range(5):
            a.send_channel(0x4001, b"after")
            a.send(address, b"after")
            peer.sendto(b"after", a.relayed[4])
        self.assertIsNone(a.receive(0.3))
        with self.assertRaises(TimeoutError):
            peer.settimeout(0.3)
            peer.recv(100)
        with self.assertRaises(TurnError) as refused:
            a.permit(address[0])
        self.assertEqual(refused.exception.code, 403)
        a.refresh(0)


class Certificates(ReloadTest):
    @classmethod
    def add_hosts(cls):
        cls.tls = cls.lab.path / "tls"
        cls.tls.mkdir()
        cls.issue("")
        cls.issue("next-")
        cls.relay_options = {"admin": f"""
listen = "127.0.0.1:9640"
tls_ca = "{cls.tls}/ca.crt"
tls_cert = "{cls.tls}/relay.crt"
tls_key = "{cls.tls}/relay.key"
"""}

    @classmethod
    def issue(cls, prefix, days=30):
        """An authority and certificates of it, for the relay and for signaling."""
        make_authority(cls.tls, "relay", "signald", prefix=prefix, days=days)

    def served(self, prefix, ca):
        """Whether the relay serves a client with certificates of these."""
        done = self.relay.host.run(
            PYTHON, CLIENT, "127.0.0.1:9640", "relay", "--ca", ca,
            "--cert", self.tls / f"{prefix}signald.crt", "--key", self.tls / f"{prefix}signald.key",
            check=False)
        return done.returncode == 0

    def test_a_certificate_that_expires_soon_is_warned_of(self):
        self.assertEqual(list(self.reload().warnings), [])
        self.issue("soon-", days=3)
        for name in ("relay.crt", "relay.key"):
            self.addCleanup((self.tls / name).write_bytes, (self.tls / name).read_bytes())
            (self.tls / name).write_bytes((self.tls / f"soon-{name}").read_bytes())
        [warning] = self.reload().warnings
        self.assertRegex(warning, r"^\[admin\] tls_cert: .*/relay.crt: the certificate of relay "
                                  r"expires on 20[0-9-]+ [0-9:]+ UTC; renew it and reload\.$")
        self.assertIn(warning, self.relay.process.output())

    def test_certificates_are_replaced_all_or_none(self):
        old_ca = self.tls / "kept-ca.crt"
        old_ca.write_bytes((self.tls / "ca.crt").read_bytes())
        self.assertTrue(self.served("", old_ca))
        self.assertFalse(self.served("next-", old_ca))

        # Half of the new files: the key isn't the certificate's.
        good = {name: (self.tls / name).read_bytes()
                for name in ("relay.crt", "relay.key", "ca.crt")}
        (self.tls / "relay.crt").write_bytes((self.tls / "next-relay.crt").read_bytes())
        self.assertIn("relay.key", self.refused())
        self.assertTrue(self.served("", old_ca))
        (self.tls / "relay.crt").unlink()
        self.assertIn("relay.crt", self.refused())
        self.assertTrue(self.served("", old_ca))

        for name in good:
            (self.tls / name).write_bytes((self.tls / f"next-{name}").read_bytes())
        self.assertEqual(list(self.reload().reloadable), ["[admin] tls_cert"])
        self.assertTrue(self.served("next-", self.tls / "next-ca.crt"))
        self.assertFalse(self.served("", old_ca))
        self.assertFalse(self.served("", self.tls / "next-ca.crt"))
        self.assertEqual(list(self.reload().reloadable), [])


if __name__ == "__main__":
    main()
