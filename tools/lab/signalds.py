"""The signaling servers that labs run: sotto-signald on the kernel's sockets, with TLS under a CA of
the lab's own, and identities for development."""

import re
import subprocess

from .environment import BIN, SANITIZED
from .network import LabError, wait_for
from .relays import SECRET, _ReadinessSocket

_START_SECONDS = 60 if SANITIZED else 20
_PORT = 8443


class Signald:
    """A running sotto-signald. `url` is for phones, `page` for browsers, `ca` a PEM file."""

    def __init__(self, host, start, ca, config):
        self.host, self.ca, self.config, self._start = host, ca, config, start
        self.ip, self.port = host.ip, _PORT
        self.url = f"wss://{host.ip[4]}:{_PORT}/v1"
        self.page = f"https://{host.ip[4]}:{_PORT}/"
        self.process = start()

    def restart(self):
        """SIGTERM, which must end it with status 0, and another one on the same store."""
        if (status := self.process.stop(20)) != 0:
            raise LabError(f"sotto-signald ended with {status} on SIGTERM:\n{self.log_tail()}")
        self.process = self._start()

    def set_ring_s(self, seconds):
        """Calls ring for so long from now on."""
        self.config.write_text(re.sub(r"ring_s = \d+", f"ring_s = {seconds}",
                                      self.config.read_text()))
        self.restart()

    def kill(self):
        """SIGKILL, and another one on the same store."""
        self.process.signal(9)
        self.process.wait(5)
        self.process = self._start()

    def log_tail(self, lines=60):
        return "\n".join(self.process.output().splitlines()[-lines:])


def make_ca(folder, addresses, names=()):
    """A CA, and a server certificate under it: ca.pem, cert.pem, key.pem. Returns ca.pem's path."""
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", folder / "ca-key.pem", "-out", folder / "ca.pem",
            "-days", "30", "-subj", "/CN=Sotto lab CA")
    openssl("req", *curve, "-keyout", folder / "key.pem", "-out", folder / "server.csr",
            "-subj", "/CN=sotto-signald")
    alternatives = [f"IP:{a}" for a in addresses] + [f"DNS:{n}" for n in names]
    (folder / "server.ext").write_text(
        f"subjectAltName={','.join(alternatives)}\nextendedKeyUsage=serverAuth\n"
        "basicConstraints=critical,CA:FALSE\n")
    openssl("x509", "-req", "-in", folder / "server.csr", "-CA", folder / "ca.pem", "-CAkey",
            folder / "ca-key.pem", "-CAcreateserial", "-days", "30", "-extfile",
            folder / "server.ext", "-out", folder / "cert.pem")
    for name in ("ca-key.pem", "key.pem"):
        (folder / name).chmod(0o600)
    return folder / "ca.pem"


def start_signald(lab, relays=(), number=20, name="signald", ring_s=5, web_root=None, calls="",
                  limits="", extra_addresses=()):
    """sotto-signald at 192.0.2.<number>:8443; returns when it says that it is ready.

    relays: Relays of start_sotto(policy="call"), reached over their Unix sockets; without one, calls
    ring and carry no media. calls, limits: more lines for [calls] and [limits]. extra_addresses: of
    its certificate, for those who reach it through a forwarder.
    """
    host = lab.lan_host(name, number)
    folder = lab.path / name
    folder.mkdir(mode=0o700)
    ca = make_ca(folder, [*host.ip.values(), *extra_addresses])
    # A relay that isn't there is a relay that is gone: signaling goes on without it.
    sections = "".join(f"""
[[relay]]
name = "{relay.host.name}"
control = "unix:{lab.path}/{relay.host.name}.sock"
urls = ["turn:{relay.ip[4]}:3478?transport=udp", "turn:[{relay.ip[6]}]:3478?transport=udp"]
secret = "{SECRET}"
""" for relay in relays) or f"""
[[relay]]
name = "none"
control = "unix:{folder}/no-relay.sock"
urls = ["turn:192.0.2.10:3478?transport=udp"]
secret = "{SECRET}"
"""
    config = folder / "signald.toml"
    config.write_text(f"""
[server]
listen = ["{host.ip[4]}:{_PORT}", "[{host.ip[6]}]:{_PORT}"]
tls_cert = "{folder}/cert.pem"
tls_key = "{folder}/key.pem"
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
    config.chmod(0o600)

    def start():
        ready = _ReadinessSocket(folder / "notify")
        process = host.start(BIN / "sotto-signald", "--config", config,
                             env={"NOTIFY_SOCKET": str(ready.path)})

        def is_ready():
            if process.returncode is not None:
                raise LabError(f"sotto-signald ended with {process.returncode}:\n{process.output()}")
            return ready.seen()

        try:
            wait_for("sotto-signald getting ready", _START_SECONDS, is_ready)
        finally:
            ready.close()
        return process

    return Signald(host, start, ca, config)
