# SPDX-License-Identifier: Apache-2.0
"""Labs: hosts as network namespaces around a router, for tests and for the quickstart.

                          router
    lan 192.0.2.0/24      |    |      a network for each remote host
    2001:db8::/64  -------+    +----  198.51.100.0/28, 2001:db8:1::/64, ...
      relay .10, ::10                   alice .2, ::2
      hosts on the LAN                  bob .18, ...

Hosts on the LAN are the relay's on-link neighbours; remote ones reach it through the router, which
is its gateway. Two remote hosts share no segment, so neither hears the other's broadcasts.

Everything is named after this process, so labs run beside each other; it is gone when the `with`
block ends, for whatever reason. What a killed process left behind, the next lab removes.
Needs root. All methods are for the thread that made the lab.
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import tempfile

from .daemons import Daemon
from .processes import LabError, Process, run

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Host:
    """A namespace whose eth0 has one address of each family: ip[4] and ip[6]; so do its
    gateways."""

    def __init__(self, lab, name, netns, ip):
        self.lab, self.name, self.netns, self.ip = lab, name, netns, ip
        self.gateway = {}

    def run(self, *args, **kwargs):
        return run(["ip", "netns", "exec", self.netns, *args], **kwargs)

    def start(self, *args, env=None):
        process = Process(args, self._log(args[0]), self.netns, env)
        self.lab.on_exit(process.stop)
        return process

    def start_daemon(self, program, config, meanwhile=None):
        """sotto-relayd or sotto-signald; returns when it says that it is ready. meanwhile(daemon)
        is called as soon as it runs."""
        daemon = Daemon(program, config, log=self._log(program), netns=self.netns)
        self.lab.on_exit(daemon.stop)
        try:
            if meanwhile:
                meanwhile(daemon)
            daemon.wait_ready()
        finally:
            daemon.notify.close()
        return daemon

    def _log(self, program):
        number = next(self.lab.numbers)
        return self.lab.path / f"{self.name}.{number}.{pathlib.Path(str(program)).name}.log"

    @contextlib.contextmanager
    def entered(self):
        """This thread, inside the host: sockets opened here belong to it, and stay there."""
        with open("/proc/thread-self/ns/net", "rb") as home, \
             open(f"/run/netns/{self.netns}", "rb") as there:
            _set_netns(there)
            try:
                yield
            finally:
                _set_netns(home)

    def socket(self, *args):
        with self.entered():
            sock = socket.socket(*args)
        self.lab.on_exit(sock.close)
        return sock

    def udp(self, family=4, port=0):
        """A UDP socket bound to the host's address; receives time out after 2 s."""
        sock = self.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind((self.ip[family], port))
        sock.settimeout(2)
        return sock

    def packet_socket(self, interface="eth0", protocol=3):
        """A raw Ethernet socket (ETH_P_ALL unless told)."""
        sock = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        sock.bind((interface, protocol))
        sock.settimeout(2)
        return sock

    def mac(self, interface="eth0"):
        return self.run("cat", f"/sys/class/net/{interface}/address").stdout.strip()

    def set_mac(self, mac):
        self.run("ip", "link", "set", "eth0", "address", mac)

    def neighbor(self, address):
        """The MAC address that the host has for an on-link address, or None."""
        out = self.run("ip", "neigh", "show", address).stdout
        found = re.search(r"lladdr (\S+)", out)
        return found and found[1]

    def forget_neighbors(self):
        self.run("ip", "neigh", "flush", "all")


def _set_netns(file):
    if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")


class Lab:
    """The router, its LAN and the hosts. A context manager."""

    def __init__(self, prefix="sotto"):
        if os.geteuid() != 0:
            raise LabError("labs are made of network namespaces: run this as root")
        self._prefix = f"{prefix}-{os.getpid()}"
        self._stack = contextlib.ExitStack()
        self._remote_count = 0
        self.numbers = itertools.count(1)  # of processes and files
        self.hosts = {}

    def __enter__(self):
        with self._stack:  # undone at once if something fails below
            _remove_leftovers(self._prefix.split("-")[0])
            self._sigterm = signal.signal(signal.SIGTERM, _raise_exit)
            self.on_exit(lambda: signal.signal(signal.SIGTERM, self._sigterm))
            self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"{self._prefix}-"))
            self.path.chmod(0o755)
            if not os.environ.get("SOTTO_LAB_KEEP_FILES"):
                self.on_exit(lambda: shutil.rmtree(self.path, ignore_errors=True))
            self.router = self._namespace("router", {4: "192.0.2.1", 6: "2001:db8::1"})
            self.router.run("sysctl", "-qw", "net.ipv4.ip_forward=1",
                            "net.ipv6.conf.all.forwarding=1")
            self._ip_batch("""
                link add lan type bridge stp_state 0 mcast_snooping 0
                link set lan address 02:00:c0:00:02:01
                link set lan up
                addr add 192.0.2.1/24 dev lan
                addr add 2001:db8::1/64 dev lan nodad
                """)
            self.router.run("ethtool", "-K", "lan", "tx", "off")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exc):
        return self._stack.__exit__(*exc)

    def on_exit(self, function):
        """Calls function() when the lab ends, last come first."""
        self._stack.callback(function)

    def remote_host(self, name):
        """A host in a network of its own, behind the router."""
        n = self._remote_count = self._remote_count + 1
        v4, v6 = f"198.51.100.{16 * (n - 1)}", f"2001:db8:{n:x}::"
        base, last = v4.rsplit(".", 1)
        router4, host4 = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
        host = self._wire(name, {4: host4, 6: f"{v6}2"})
        self._ip_batch(f"""
            addr add {router4}/28 dev {name}
            addr add {v6}1/64 dev {name} nodad
            """)
        self._address(host, 28, {4: router4, 6: f"{v6}1"})
        return host

    def lone_host(self, name):
        """A host that is on no network."""
        return self._namespace(name, {})

    def lan_host(self, name, number):
        """A host beside the relay: 192.0.2.<number>, 2001:db8::<number> (the same digits)."""
        host = self._wire(name, {4: f"192.0.2.{number}", 6: f"2001:db8::{number}"})
        self._ip_batch(f"link set {name} master lan")
        self._address(host, 24, self.router.ip)
        return host

    def bare_lan_host(self, name, number, queues=1):
        """As lan_host, but the kernel has no address there: a DPDK port is to take eth0 over."""
        host = self._wire(name, {4: f"192.0.2.{number}", 6: f"2001:db8::{number}"}, queues)
        self._ip_batch(f"link set {name} master lan")
        host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        host.run("ip", "link", "set", "eth0", "up")
        return host

    def _namespace(self, name, ip):
        netns = f"{self._prefix}-{name}"
        run(["ip", "netns", "add", netns])
        self.on_exit(lambda: run(["ip", "netns", "del", netns], check=False))
        host = Host(self, name, netns, ip)
        # Duplicate address detection takes a second; ICMP limits would hide errors from tests.
        host.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0",
                 "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
                 "net.ipv6.conf.default.router_solicitations=0",
                 "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
                 "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
                 "net.ipv4.ping_group_range=0 2147483647")
        host.run("ip", "link", "set", "lo", "up")
        self.hosts[name] = host
        return host

    def _wire(self, name, ip, queues=1):
        host = self._namespace(name, ip)
        router = self.router.netns
        q = f"numtxqueues {queues} numrxqueues {queues}"
        run(["ip", "-n", router, "link", "add", name, *q.split(), "type", "veth", "peer", "name",
             "eth0", *q.split(), "netns", host.netns])
        # Without this a kernel sender leaves UDP checksums to hardware that veth doesn't have.
        self.router.run("ethtool", "-K", name, "tx", "off")
        host.run("ethtool", "-K", "eth0", "tx", "off")
        self._ip_batch(f"link set {name} up")
        return host

    def _address(self, host, prefix4, gateway):
        host.gateway = gateway
        host.run("ip", "-batch", "-", input=f"""
            link set eth0 up
            addr add {host.ip[4]}/{prefix4} dev eth0
            addr add {host.ip[6]}/64 dev eth0 nodad
            route add default via {gateway[4]}
            route add default via {gateway[6]}
            """.strip())

    def _ip_batch(self, commands):
        self.router.run("ip", "-batch", "-", input=commands.strip())


def _raise_exit(number, _frame):
    sys.exit(128 + number)


def _remove_leftovers(prefix):
    for line in run(["ip", "netns", "list"]).stdout.splitlines():
        found = re.match(rf"{re.escape(prefix)}-(\d+)-", line)
        if found and not pathlib.Path(f"/proc/{found[1]}").exists():
            run(["ip", "netns", "del", line.split()[0]], check=False)
