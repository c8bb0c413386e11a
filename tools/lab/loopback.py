# SPDX-License-Identifier: Apache-2.0
"""sotto-signald on loopback, with certificates and identities of its own, and clients' ways to it.

    folder = loopback.Folder()
    server = loopback.Server(folder.write(folder.config()), folder)
"""

import json
import os
import pwd
import re
import socket
import ssl
import urllib.error
import urllib.request

from . import daemons
from .certificates import make_certificate, make_key, public_key

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


class Folder(daemons.Folder):
    """A temporary folder with a configuration and the files that it names."""

    def __init__(self):
        super().__init__("signald.toml")
        self.make_certificate()
        make_key(self.path / "operator.pem")
        (self.path / "identity.pem").write_text(public_key(self.path / "operator.pem"))

    def make_certificate(self, name="localhost"):
        make_certificate(self.path / "cert.pem", self.path / "key.pem", name,
                         [f"DNS:{name}", "IP:127.0.0.1"])

    def config(self):
        return CONFIG.format(folder=self.path, user=pwd.getpwuid(os.getuid()).pw_name)


class Server(daemons.Daemon):
    """A running sotto-signald, ready when it is made."""

    def __init__(self, config, folder):
        self.folder = folder
        self.connections = []
        # AddressSanitizer would hold on to what is freed, and memory is measured here.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        super().__init__("sotto-signald", config, env={"ASAN_OPTIONS": sanitizer})
        status = self.wait_ready()
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", status).group(1))
        self.tls = "plain HTTP" not in status

    def cleanup(self):
        super().cleanup()
        for connection in self.connections:
            connection.close()

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
