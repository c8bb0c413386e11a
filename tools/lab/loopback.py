"""Starts sotto-signald for tests, on loopback, with certificates and identities of its own."""

import argparse
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
tls_cert = "{folder}/cert.pem"
tls_key = "{folder}/key.pem"
[identity]
keys = "{folder}/identity.pem"
development = true
[store]
path = "{folder}/signald.db"
[[relay]]
name = "relay"
control = "unix:{folder}/no-relay.sock"
urls = ["turn:127.0.0.1:3478?transport=udp"]
secret = "a-long-secret"
[process]
user = "{user}"
"""


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Folder:
    """A temporary folder with a configuration and the files that it names."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="sotto-signald-test-")
        self.path = pathlib.Path(self._folder.name)
        self.make_certificate()
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-out", self.path / "operator.pem")
        openssl("pkey", "-in", self.path / "operator.pem", "-pubout",
                "-out", self.path / "identity.pem")

    def make_certificate(self, name="localhost"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.path / "key.pem", "-out", self.path / "cert.pem", "-days", "30",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1")

    def config(self):
        return CONFIG.format(folder=self.path, user=pwd.getpwuid(os.getuid()).pw_name)

    def write(self, text, name="signald.toml"):
        path = self.path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def cleanup(self):
        self._folder.cleanup()


def run(signald, *args, timeout=60):
    """Runs the daemon to its end, which must come by itself."""
    return subprocess.run(
        [signald, *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class Daemon:
    """A running daemon. Ends it in any case."""

    def __init__(self, signald, config_path, folder):
        self.folder = folder
        socket_path = folder.path / "notify"
        socket_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(socket_path))
        self.log = open(folder.path / "log", "w+")
        self.connections = []
        # AddressSanitizer would hold on to what is freed, and memory is measured here.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        self.process = subprocess.Popen(
            [signald, "--config", config_path],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=dict(os.environ, NOTIFY_SOCKET=str(socket_path), ASAN_OPTIONS=sanitizer),
        )
        status = self.wait_notified("READY=1")
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", status).group(1))
        self.tls = "plain HTTP" not in status

    def wait_notified(self, what, timeout=60):
        end = time.monotonic() + timeout
        self.notify.settimeout(0.2)
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            try:
                message = self.notify.recv(4096).decode()
                if what in message.split("\n"):
                    return message
            except TimeoutError:
                if ended:
                    break
        raise AssertionError(f"no {what} within {timeout} s; the log says:\n{self.read_log()}")

    def read_log(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.wait_notified("RELOADING=1", timeout=10)
        self.wait_notified("READY=1", timeout=10)

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def end(self, with_signal=signal.SIGTERM, timeout=30):
        self.process.send_signal(with_signal)
        return self.process.wait(timeout)

    def cleanup(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for connection in self.connections:
            connection.close()
        self.notify.close()
        self.log.close()

    # --- As a client

    def tls_context(self):
        return ssl.create_default_context(cafile=self.folder.path / "cert.pem")

    def connect_tcp(self, receive_buffer=None):
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        self.connections.append(connection)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def connect(self, **how):
        connection = self.connect_tcp(**how)
        if self.tls:
            connection = self.tls_context().wrap_socket(connection, server_hostname="localhost")
            self.connections[-1] = connection
        return connection

    def http(self, path, method="GET", body=None, **headers):
        """Status, headers and body of a response."""
        scheme = "https" if self.tls else "http"
        request = urllib.request.Request(
            f"{scheme}://localhost:{self.port}{path}",
            data=body,
            method=method,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        handler = urllib.request.HTTPSHandler(context=self.tls_context())
        try:
            with urllib.request.build_opener(handler).open(request, timeout=20) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def development_identity(self, account):
        status, _, body = self.http(
            "/v1/development/identity",
            "POST",
            json.dumps({"account": account}).encode(),
            Content_Type="application/json",
        )
        assert status == 200, body
        return json.loads(body)["identity"]


def main():
    """unittest's main() with the paths that ctest passes; they are class attributes of the tests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signald", required=True)
    parser.add_argument("--examples", required=True, type=pathlib.Path)
    options, rest = parser.parse_known_args()
    unittest.TestCase.signald = options.signald
    unittest.TestCase.examples = options.examples
    unittest.main(argv=[sys.argv[0], "-v", *rest])
