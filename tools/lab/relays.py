# SPDX-License-Identifier: Apache-2.0
"""The relays that labs run: sotto-relayd on a DPDK port, and Debian's coturn beside it.

SOTTO_LAB_RELAY=coturn puts coturn in Sotto's place, to test the tests.
SOTTO_LAB_PORT (af_packet, tap, af_xdp) and SOTTO_LAB_WORKERS say what sotto-relayd runs on.
"""

import os
from functools import partial

from .daemons import START_SECONDS, write_config
from .processes import wait_for

USER, PASSWORD, REALM = "demo", "a-long-secret", "example.org"
SECRET = "a-shared-secret-to-mint-with"
DOCUMENTATION = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"]
IS_COTURN = os.environ.get("SOTTO_LAB_RELAY") == "coturn"
WORKERS = int(os.environ.get("SOTTO_LAB_WORKERS", "1"))
PORT = os.environ.get("SOTTO_LAB_PORT", "af_packet")


def start_relay(lab, **options):
    """The relay under test at 192.0.2.10 and 2001:db8::10. For options see start_sotto."""
    return start_coturn(lab, number=10) if IS_COTURN else start_sotto(lab, **options)


class Relay:
    """A running relay. `ip` and `endpoint` are by family; `process` is its Process."""

    def __init__(self, host, start):
        self.host, self._start = host, start
        self.ip, self.netns = host.ip, host.netns
        self.endpoint = {4: (host.ip[4], 3478), 6: (host.ip[6], 3478)}
        self.process = start()

    def url(self, family):
        """Returns its URL as WebRTC writes it."""
        address = f"[{self.ip[6]}]" if family == 6 else self.ip[4]
        return f"turn:{address}:3478?transport=udp"

    def restart(self):
        self.process.stop()
        self.process = self._start()

    def check_alive(self):
        self.process.check_alive()

    def stop_in_order(self):
        self.process.stop_in_order()


def start_sotto(lab, number=10, port=PORT, workers=WORKERS, policy="public", turn="", limits="",
                vlan=None, arm=None, name="relay", eal_args=None, admin="",
                auth="", process="", virtual_prefix=None):
    """sotto-relayd; returns when it says that it is ready.

    turn, auth, limits, admin, process: more lines for [turn], [turn.auth], [turn.limits], [admin]
    and [process]. arm: [turn.calls] arm. virtual_prefix: relayed addresses out of it, instead of
    the relay's own.
    The admin socket is NAME.sock in the lab's folder.
    """
    host = lab.bare_lan_host(name, number, queues=workers)
    ports = {
        "af_packet": ("net_af_packet0", f",qpairs={workers}" if workers > 1 else "", "eth0"),
        "af_xdp": ("net_af_xdp0", f",queue_count={workers}" if workers > 1 else "", "eth0"),
        "tap": ("net_tap0", "", "dtap0"),
    }
    device, arguments, interface = ports[port]
    eal = eal_args or ["--no-pci", "--in-memory", f"--vdev={device},iface={interface}{arguments}"]
    v4, v6 = host.ip[4], host.ip[6]
    allow = ", ".join(f'"{prefix}"' for prefix in DOCUMENTATION)
    relayed = (f'virtual_prefix = "{virtual_prefix}"' if virtual_prefix
               else f'relay_addresses = ["{v4}", "{v6}"]')
    config = write_config(lab.path / f"{name}.toml", f"""
[dataplane]
eal_args = [{", ".join(f'"{a}"' for a in eal)}]
workers = {workers}
poll = "adaptive"
max_allocations = 10000

[[interface]]
port = "{device}"
addresses = ["{v4}/24", "{v6}/64"]
gateways = ["192.0.2.1", "2001:db8::1"]
{f"vlan = {vlan}" if vlan else ""}

[turn]
realm = "{REALM}"
listen = ["{v4}:3478", "[{v6}]:3478"]
{relayed}
relay_ports = "49152-65535"
{turn}

[turn.auth]
{f'users = {{ {USER} = "{PASSWORD}" }}' if policy != "call" else ""}
shared_secrets = ["{SECRET}"]
{auth}

[turn.peers]
policy = "{policy}"
allow = [{allow}]

{f'[turn.calls]{chr(10)}arm = "{arm}"' if arm else ""}
{f"[turn.limits]{chr(10)}{limits}" if limits else ""}

[admin]
socket = "{lab.path}/{name}.sock"
{admin}
{f"[process]{chr(10)}{process}" if process else ""}
[metrics]
listen = "127.0.0.1:9641"
[log]
level = "info"
format = "text"
""")

    if port == "tap":
        # The tap's kernel side and the wire to the LAN share a bridge, as on a host without a NIC.
        host.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        host.run("sysctl", "-qw", "net.ipv6.conf.br0.disable_ipv6=1",
                 "net.ipv6.conf.default.disable_ipv6=1")
        host.run("ip", "link", "set", "br0", "up")
        host.run("ip", "link", "set", "eth0", "master", "br0")

    def start():
        meanwhile = partial(_put_on_bridge, host) if port == "tap" else None
        return host.start_daemon("sotto-relayd", config, meanwhile)

    return Relay(host, start)


def _put_on_bridge(host, daemon):
    """Puts the tap's kernel side on the bridge, as soon as DPDK has made it."""
    def is_there():
        daemon.check_alive()
        return "dtap0" in host.run("ls", "/sys/class/net").stdout

    wait_for("the tap", START_SECONDS, is_there)
    host.run("ip", "link", "set", "dtap0", "master", "br0")
    host.run("ip", "link", "set", "dtap0", "up")


def start_coturn(lab, number=20, name="coturn"):
    """Debian's coturn as its package runs it, on the same kind of host."""
    host = lab.lan_host(name, number)
    return Relay(host, lambda: run_coturn(host, "--lt-cred-mech", "--user", f"{USER}:{PASSWORD}"))


def run_coturn(host, *options):
    """Starts turnserver on a host of the lab, with more options; returns its Process when it
    listens."""
    listen = [option for ip in host.ip.values()
              for option in ("--listening-ip", ip, "--relay-ip", ip)]
    files = host.lab.path / host.name
    process = host.start(
        "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--realm", REALM,
        *listen,
        "--min-port", "49152", "--max-port", "65535", "--log-file", "stdout", "--simple-log",
        "--pidfile", f"{files}.pid", "--db", f"{files}.db", *options)

    def is_listening():
        process.check_alive()
        return all(":0D96 " in host.run("cat", f"/proc/net/{table}").stdout
                   for table in ("udp", "udp6"))

    wait_for("coturn listening", 20, is_listening)
    return process
