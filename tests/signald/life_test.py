# SPDX-License-Identifier: Apache-2.0
"""The life of sotto-signald on loopback: start, service, reload and end, and what hostile
connections do to others (nothing)."""

import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import loopback
from lab.certificates import make_key, public_key
from lab.device import GET_KEYS, PUT_SETTINGS, Device
from lab.environment import BIN
from lab.processes import run
from lab.protobuf import decode, encode, one
from lab.websocket import Closed, WebSocket


class Life(unittest.TestCase):
    def setUp(self):
        self.folder = loopback.Folder()
        self.addCleanup(self.folder.cleanup)

    def start(self, text=None):
        daemon = loopback.Server(self.folder.write(text or self.folder.config()), self.folder
        )
        self.addCleanup(daemon.cleanup)
        return daemon

    def client(self, daemon, account="alice", **how):
        return Device(daemon, account, **how)

    def run_to_failure(self, text):
        done = run([BIN / "sotto-signald", "--config", self.folder.write(text)], check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        sentences = [l for l in done.stderr.splitlines() if not l.startswith("20")]
        self.assertEqual(len(sentences), 1, done.stderr)
        return sentences[0]

    # --- Start and end

    def test_serves_and_ends(self):
        daemon = self.start()
        self.assertEqual(daemon.http("/healthz")[::2], (200, b"ok\n"))
        client = self.client(daemon)
        self.assertEqual(one(client.welcome, 3), b"alice")
        client.ping()
        daemon.signal(signal.SIGTERM)
        self.assertEqual(client.websocket.receive_close(), 1001)
        self.assertEqual(daemon.wait(10), 0, daemon.output())
        daemon.wait_notified("STOPPING=1", seconds=1)

    def test_ends_though_a_client_holds_on(self):
        daemon = self.start()
        holding = self.client(daemon)
        start = time.monotonic()
        self.assertEqual(daemon.end(signal.SIGINT), 0)
        self.assertLess(time.monotonic() - start, 5)
        del holding

    def test_privileges_are_given_up(self):
        daemon = self.start()
        for thread in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
            status = (thread / "status").read_text()
            for field in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertIn(f"{field}:\t0000000000000000\n", status)
            self.assertIn("NoNewPrivs:\t1\n", status)

    def test_what_the_store_acknowledged_survives(self):
        daemon = self.start()
        client = self.client(daemon)
        self.assertNotIn(1, decode(one(client.welcome, 8)))
        client.done(PUT_SETTINGS, {1: {1: 1, 2: 1}})
        daemon.kill()
        again = self.client(self.start())
        self.assertEqual(decode(one(again.welcome, 8)), {1: [1], 2: [1]})

    def test_secrets_are_the_owners_alone(self):
        self.start()
        for name in ("signald.db", "signald.db.key", "signald.db.development.pem"):
            self.assertEqual((self.folder.path / name).stat().st_mode & 0o777, 0o600, name)

    def test_a_store_without_its_key_is_refused(self):
        self.assertEqual(self.start().end(), 0)
        (self.folder.path / "signald.db.key").unlink()
        self.assertIn("restore the key", self.run_to_failure(self.folder.config()))

    def test_a_key_that_others_can_read_is_refused(self):
        self.assertEqual(self.start().end(), 0)
        (self.folder.path / "signald.db.key").chmod(0o644)
        self.assertIn("chmod 600", self.run_to_failure(self.folder.config()))

    def test_second_server_on_the_store_is_refused(self):
        self.start()
        self.assertIn("signald.db", self.run_to_failure(self.folder.config()))

    def test_second_server_on_the_address_is_refused(self):
        daemon = self.start()
        text = self.folder.config().replace(":0", f":{daemon.port}").replace("signald.db", "b.db")
        self.assertIn("is in use by another process", self.run_to_failure(text))

    def test_foreign_address_is_refused(self):
        text = self.folder.config().replace("127.0.0.1:0", "192.0.2.77:443").replace(
            "development = true", ""
        )
        self.assertIn("is not an address of this machine", self.run_to_failure(text))

    def test_folder_that_is_missing(self):
        text = self.folder.config().replace("signald.db", "nowhere/signald.db")
        self.assertIn("nowhere/signald.db.key can't be made", self.run_to_failure(text))

    # --- Reload

    def test_reload_takes_a_new_certificate(self):
        daemon = self.start()
        self.folder.make_certificate("new.example.org")
        daemon.reload()
        with daemon.tls_context().wrap_socket(
            daemon.connect_tcp(), server_hostname="new.example.org"
        ) as connection:
            self.assertIn("new.example.org", str(connection.getpeercert()))

    def test_reload_with_a_bad_key_file_changes_nothing(self):
        text = self.folder.config() + '[log]\nformat = "json"\n'
        daemon = self.start(text)
        client = self.client(daemon)
        (self.folder.path / "identity.pem").write_text("nonsense")
        self.folder.write(text.replace('"json"', '"text"'))
        daemon.reload()
        client.ping()
        self.client(daemon, "bob").ping()
        self.assertEqual(daemon.end(), 0)
        lines = [json.loads(line) for line in daemon.output().splitlines()]
        errors = [line["error"] for line in lines if line["level"] == "error"]
        self.assertEqual(len(errors), 1)
        self.assertIn("contains no public key", errors[0])

    def test_reload_names_what_needs_a_restart(self):
        daemon = self.start()
        self.folder.write(self.folder.config() + "[calls]\nmax_calls = 7\n")
        daemon.reload()
        self.assertIn('key="[calls] max_calls"', daemon.output())

    def test_reload_of_identity_keys_refuses_those_of_the_old_one(self):
        daemon = self.start(self.folder.config().replace("development = true", ""))
        make_key(self.folder.path / "new.pem")
        old = operator_identity(self.folder.path / "operator.pem")
        new = operator_identity(self.folder.path / "new.pem")
        Device(daemon, "alice", identity=old).ping()
        with self.assertRaises(Closed) as refused:
            Device(daemon, "alice", identity=new)
        self.assertEqual(refused.exception.code, 4401)
        (self.folder.path / "identity.pem").write_text(public_key(self.folder.path / "new.pem"))
        daemon.reload()
        Device(daemon, "alice", identity=new).ping()
        with self.assertRaises(Closed):
            Device(daemon, "alice", identity=old)

    # --- HTTP

    def test_web_client(self):
        root = self.folder.path / "web"
        (root / "assets").mkdir(parents=True)
        (root / "index.html").write_text("<!doctype html>")
        (root / "assets" / "app-1a2b.js").write_text("1")
        (root / "assets" / "sodium.wasm").write_bytes(b"\0asm")
        (root / ".secret").write_text("no")
        (root / "link").symlink_to("/etc/passwd")
        daemon = self.start(
            self.folder.config().replace("[identity]", f'web_root = "{root}"\n[identity]')
        )
        status, headers, body = daemon.http("/")
        self.assertEqual((status, body), (200, b"<!doctype html>"))
        self.assertEqual(headers["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(headers["Cache-Control"], "no-cache")
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertNotIn("unsafe-inline", headers["Content-Security-Policy"])
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        self.assertIn("camera=(self)", headers["Permissions-Policy"])
        self.assertEqual(daemon.http("/", If_None_Match=headers["ETag"])[::2], (304, b""))
        self.assertEqual(daemon.http("/", If_None_Match='"other"')[0], 200)
        status, headers, body = daemon.http("/assets/app-1a2b.js?x=1")
        self.assertEqual((status, body), (200, b"1"))
        self.assertIn("immutable", headers["Cache-Control"])
        self.assertEqual(
            daemon.http("/assets/sodium.wasm")[1]["Content-Type"], "application/wasm"
        )
        status, headers, body = daemon.http("/", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "15", b""))
        for path in ("/.secret", "/link", "/../signald.db", "/%2e%2e/signald.db", "//etc/passwd",
                     "/assets/../index.html", "/assets", "/index.html/"):
            self.assertEqual(daemon.http(path)[0], 404, path)
        self.assertEqual(daemon.http("/", "DELETE")[0], 405)
        self.assertEqual(daemon.http("/", "POST", b"x")[0], 405)

    def test_plain_http_on_loopback(self):
        text = self.folder.config()
        text = "\n".join(l for l in text.splitlines() if not l.startswith("tls_")).replace(
            "[identity]", "tls = false\n[identity]"
        )
        daemon = self.start(text)
        self.client(daemon).ping()
        self.assertNotIn("Strict-Transport-Security", daemon.http("/healthz")[1])

    def test_development_identity_needs_json_and_this_origin(self):
        daemon = self.start()
        path, body = "/v1/development/identity", b'{"account": "alice"}'
        self.assertEqual(daemon.http(path, "POST", body, Content_Type="text/plain")[0], 403)
        json_type = {"Content_Type": "application/json"}
        self.assertEqual(
            daemon.http(path, "POST", body, Origin="https://evil.example", **json_type)[0], 403
        )
        self.assertEqual(daemon.http(path, "GET")[0], 405)
        for bad in (b"", b"{", b'{"account": 7}', b'{"account": "a b"}', b'["alice"]'):
            self.assertEqual(daemon.http(path, "POST", bad, **json_type)[0], 400, bad)

    def test_no_development_identities_unless_asked_for(self):
        daemon = self.start(self.folder.config().replace("development = true", ""))
        status = daemon.http(
            "/v1/development/identity", "POST", b'{"account": "alice"}',
            Content_Type="application/json",
        )[0]
        self.assertEqual(status, 405)
        self.assertFalse((self.folder.path / "signald.db.development.pem").exists())

    def test_upgrade_is_refused(self):
        daemon = self.start()
        for status, how in (
            (400, {"protocol": None}),
            (400, {"protocol": "sotto.v0"}),
            (403, {"origin": "https://evil.example"}),
            (403, {"origin": "null"}),
            (404, {"path": "/v2"}),
        ):
            self.assertEqual(WebSocket(daemon.connect(), **how).status, status, how)
        accepted = WebSocket(daemon.connect(), origin="https://localhost")
        self.assertEqual(accepted.status, 101)
        self.assertIn("Sec-WebSocket-Protocol: sotto.v1", accepted.response)

    def test_old_tls_is_refused(self):
        daemon = self.start()
        context = daemon.tls_context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(daemon.connect_tcp(), server_hostname="localhost")

    # --- What others do

    def test_hostile_connections_hurt_no_other(self):
        daemon = self.start()
        victim = self.client(daemon, "victim")

        silent = daemon.connect_tcp()  # no TLS ever comes
        slow = daemon.connect()  # a header, byte by byte
        big = daemon.connect()
        big.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n")
        self.assertIn(b" 431 ", big.recv(4096))
        self.assertEqual(big.recv(4096), b"")
        garbage = daemon.connect()
        garbage.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        self.assertIn(b" 400 ", garbage.recv(4096))
        body = daemon.connect()
        body.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        self.assertIn(b" 413 ", body.recv(4096))

        oversized = self.client(daemon, "oversized")
        oversized.websocket.send(bytes(24 * 1024 + 1))
        self.assertEqual(oversized.websocket.receive_close(), 1009)
        text = self.client(daemon, "text")
        text.websocket.send(b"hello", opcode=1)
        self.assertEqual(text.websocket.receive_close(), 4400)
        pings = self.client(daemon, "pings")
        with self.assertRaises((Closed, OSError)):
            for _ in range(1000):
                pings.websocket.send(b"", opcode=9)
            while True:
                pings.websocket.receive()

        start = time.monotonic()
        with self.assertRaises(OSError):
            while time.monotonic() - start < 30:
                slow.sendall(b"G")
                victim.ping()
                time.sleep(0.2)
        self.assertLess(time.monotonic() - start, 20)
        silent.settimeout(5)
        self.assertEqual(silent.recv(1), b"")

    def test_clients_cant_write_to_the_log(self):
        daemon = self.start(self.folder.config() + '[log]\nlevel = "debug"\n')
        client = self.client(daemon)
        marker = b"marker\xff\n"
        for frame in (marker, encode({3: {1: marker}}), encode({3: {1: b"marker", 2: marker}})):
            stranger = WebSocket(daemon.connect())
            stranger.send(frame)
            self.assertIn(stranger.receive_close(), (4400, 4401))
        client.request(GET_KEYS, {1: "marker"})
        client.websocket.send(encode({1: 2, GET_KEYS: {1: marker}}))
        self.assertEqual(client.websocket.receive_close(), 4400)
        self.assertNotIn("marker", daemon.output())
        self.assertNotIn("libprotobuf", daemon.output())

    def test_silence_after_the_upgrade_ends(self):
        daemon = self.start()
        websocket = WebSocket(daemon.connect())
        start = time.monotonic()
        self.assertEqual(websocket.receive_close(), 4408)
        self.assertLess(time.monotonic() - start, 15)

    def test_heartbeat(self):
        daemon = self.start(self.folder.config() + "[calls]\nheartbeat_s = 1\n")
        client = self.client(daemon)
        for _ in range(4):
            time.sleep(0.9)
            client.ping()
        start = time.monotonic()
        self.assertEqual(client.websocket.receive_close(), 4408)
        self.assertGreater(time.monotonic() - start, 1.5)
        again = self.client(daemon, device_id=client.id, resume=one(client.welcome, 1))
        self.assertEqual(one(again.welcome, 2, 0), 1, "resumed")

    def test_slow_reader_loses_its_session_and_nobody_elses(self):
        daemon = self.start(
            self.folder.config() + "[limits]\nframes_per_s = 100000\nframe_burst = 100000\n"
        )
        victim = self.client(daemon, "victim")
        before = daemon.memory_kib()
        reader = Device(daemon, "slow", connect=False)
        reader.connect(daemon, receive_buffer=4096)
        reader.websocket.connection.settimeout(2)
        # Asks without end, acknowledges and reads nothing.
        try:
            for seq in range(1, 20000):
                reader.websocket.send(
                    encode({1: seq, GET_KEYS: {1: "someone"}})
                )
        except OSError:
            pass
        reader.websocket.connection.settimeout(20)
        self.assertIn(reader.websocket.receive_close(), (4413, None))
        victim.ping()
        self.assertLess(daemon.memory_kib() - before, 20 * 1024)

    def test_too_many_frames(self):
        daemon = self.start(
            self.folder.config() + "[limits]\nframes_per_s = 1\nframe_burst = 5\n"
        )
        client = self.client(daemon)
        with self.assertRaises(Closed) as closed:
            for _ in range(7):
                client.ping()
        self.assertEqual(closed.exception.code, 4429)

    def test_too_many_connections_of_one_prefix(self):
        daemon = self.start(
            self.folder.config() + "[limits]\nmax_connections_per_prefix = 3\n"
        )
        held = [daemon.connect() for _ in range(3)]
        refused = daemon.connect_tcp()
        self.assertEqual(refused.recv(1), b"")
        held.pop().close()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                daemon.connect()
                return
            except OSError:
                time.sleep(0.1)
        self.fail("a place that was given back wasn't given out again")

    def test_reset_connections_leave_nothing(self):
        daemon = self.start()
        identity = daemon.development_identity("alice")
        for _ in range(200):
            connection = daemon.connect()
            WebSocket(connection).send(encode({3: {1: identity, 2: os.urandom(16)}}))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.client(daemon).ping()
        descriptors = len(list(pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir()))
        self.assertLess(descriptors, 64)


def operator_identity(key):
    """An identity that the operator signs, valid for an hour."""
    import base64
    import subprocess

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"sub": "alice", "exp": int(time.time()) + 3600}
    signed = b64(b'{"alg":"ES256","typ":"JWT"}') + b"." + b64(json.dumps(claims).encode())
    der = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", key], input=signed, capture_output=True, check=True
    ).stdout
    # SEQUENCE of two INTEGERs, to 32 bytes each.
    r_size = der[3]
    r, s = der[4 : 4 + r_size], der[6 + r_size :]
    raw = b"".join(part[-32:].rjust(32, b"\0") for part in (r, s))
    return (signed + b"." + b64(raw)).decode()


if __name__ == "__main__":
    unittest.main(verbosity=2)
