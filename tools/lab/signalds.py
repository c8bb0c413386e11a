# SPDX-License-Identifier: Apache-2.0
"""sotto-signald on a host of a lab, with TLS under an authority of the lab's own and identities for
development."""

import json
import re

from .certificates import make_authority
from .daemons import write_config
from .relays import SECRET


class Signald:
    """A running sotto-signald. `url` is for phones, `page` for browsers, `ca` a PEM file."""

    def __init__(self, host, config, ca, port):
        self.host, self.config, self.ca = host, config, ca
        self.ip, self.port = host.ip, port
        where = host.ip[4] if port == 443 else f"{host.ip[4]}:{port}"
        self.url, self.page = f"wss://{where}/v1", f"https://{where}/"
        self.process = self._start()

    def _start(self):
        return self.host.start_daemon("sotto-signald", self.config)

    def restart(self):
        """SIGTERM, which must end it with status 0, and another one on the same store."""
        self.process.stop_in_order()
        self.process = self._start()

    def set_ring_s(self, seconds):
        """Calls ring for so long from now on."""
        self.config.write_text(re.sub(r"ring_s = \d+", f"ring_s = {seconds}",
                                      self.config.read_text()))
        self.restart()

    def kill(self):
        """SIGKILL, and another one on the same store."""
        self.process.kill()
        self.process = self._start()


def start_signald(lab, relays=(), number=20, name="signald", port=8443, ring_s=5, web_root=None,
                  calls="", limits="", extra_addresses=(), families=(4, 6)):
    """sotto-signald at 192.0.2.<number>; returns when it says that it is ready.

    relays: Relays of start_sotto(policy="call"), reached over their Unix sockets; without one,
    calls ring and carry no media. calls, limits: more lines for [calls] and [limits].
    extra_addresses: of its certificate, for those who reach it through a forwarder. families: over
    which clients are sent to the relays.
    """
    host = lab.lan_host(name, number)
    folder = lab.path / name
    folder.mkdir(mode=0o700)
    make_authority(folder, "server",
                   alternatives=[f"IP:{ip}" for ip in (*host.ip.values(), *extra_addresses)])
    # A relay that isn't there is a relay that is gone: signaling goes on without it.
    sections = "".join(f"""
[[relay]]
name = "{relay.host.name}"
control = "unix:{lab.path}/{relay.host.name}.sock"
urls = {json.dumps([relay.url(family) for family in families])}
secret = "{SECRET}"
""" for relay in relays) or f"""
[[relay]]
name = "none"
control = "unix:{folder}/no-relay.sock"
urls = ["turn:192.0.2.10:3478?transport=udp"]
secret = "{SECRET}"
"""
    config = write_config(folder / "signald.toml", f"""
[server]
listen = ["{host.ip[4]}:{port}", "[{host.ip[6]}]:{port}"]
tls_cert = "{folder}/server.crt"
tls_key = "{folder}/server.key"
{f'web_root = "{web_root}"' if web_root else ""}
[identity]
development = true
development_anywhere = true
[store]
path = "{folder}/signald.db"
[calls]
ring_s = {ring_s}
notice_interval_s = 1
{calls}
{sections}
[limits]
max_connections_per_prefix = 20000
{limits}
[process]
user = "root"
[log]
level = "info"
""")

    return Signald(host, config, folder / "ca.crt", port)
