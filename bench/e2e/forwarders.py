# SPDX-License-Identifier: Apache-2.0
"""What is measured: sotto-relayd, dpdk-testpmd and coturn, each on core 0 with a wire of its own.

A wire is a net_memif socket, or a veth pair between two network namespaces. The generator is on
core 1 at the other end. All are started once and wait, stopped by SIGSTOP, for their turns: so they
can be measured turn by turn, without a set-up between.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from lab.daemons import Daemon, write_config
from lab.processes import LabError, Process, run, wait_for

USER, PASSWORD, REALM = "bench", "a-long-enough-password", "example.org"
SERVER_MAC, GENERATOR_MAC = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
# Over net_af_packet the kernel sees each frame too. What isn't to its interface's own address it
# drops at once, so forwarders on DPDK have another, as the generator does by itself.
FORWARDER_MAC = "02:00:00:00:00:1a"
SERVER_CPU, GENERATOR_CPU = 0, 1
SUBNET, SERVER_IP, CLIENTS = "10.0.0.0/8", "10.0.0.1", "10.1.0.0/16"
# Relayed ports are from 1024 on; 16 relay addresses have room for MAX_LEGS, which is also what
# sotto-relayd takes as max_allocations.
PORTS_PER_ADDRESS = 65_536 - 1_024
MAX_LEGS = 1_000_000
DRIVERS = ("af_packet", "af_xdp")


def go_before_others():
    """What else the machine does disturbs less then. Nice values count inside a session alone where
    the kernel groups tasks by session (autogroup), so the session's own is set too."""
    os.nice(-20)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/autogroup").write_text("-20")


def pinned(args, cpu):
    return ["taskset", "-c", str(cpu), *map(str, args)]


class Bench:
    """Namespaces, files and processes of a run; a context manager that takes all of it away."""

    def __init__(self, binaries):
        if os.geteuid() != 0:
            raise LabError("namespaces and DPDK ports need root: run this as root")
        self.bin = pathlib.Path(binaries)
        self._stack = contextlib.ExitStack()
        self._numbers = itertools.count(1)

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"sottobench-{os.getpid()}-"))
        self.path.chmod(0o755)
        self.on_exit(lambda: shutil.rmtree(self.path, ignore_errors=True))
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        return self

    def __exit__(self, *exc):
        return self._stack.__exit__(*exc)

    def on_exit(self, function):
        self._stack.callback(function)

    def number(self):
        return next(self._numbers)

    def wire(self, kind, queues=1):
        return Wire(self, kind, queues)


class Wire:
    """kind: "memif", "af_packet", "af_xdp" (veth and that driver at both ends), or "kernel" (veth,
    af_packet at the generator's end and a kernel with an address at the server's; "kernel_af_xdp":
    af_xdp at the generator's)."""

    def __init__(self, bench, kind, queues):
        self.bench, self.kind, self.queues = bench, kind, queues
        self.id = f"sottobench-{os.getpid()}-{bench.number()}"
        self.netns = {}
        for end in ("server", "generator"):
            self.netns[end] = f"{self.id}-{end}"
            run(["ip", "netns", "add", self.netns[end]])
            bench.on_exit(lambda name=self.netns[end]: run(["ip", "netns", "del", name],
                                                           check=False))
            self._run(end, "ip", "link", "set", "lo", "up")
        self.socket = bench.path / f"{self.id}.sock"
        if kind != "memif":
            self._lay()

    def _run(self, end, *args):
        return run(["ip", "netns", "exec", self.netns[end], *args])

    def _lay(self):
        queues = f"numtxqueues {self.queues} numrxqueues {self.queues}".split()
        run(["ip", "-n", self.netns["server"], "link", "add", "eth0", "address", SERVER_MAC,
             *queues,
             "type", "veth", "peer", "name", "eth0", "address", GENERATOR_MAC, *queues, "netns",
             self.netns["generator"]])
        for end in self.netns:
            self._run(end, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
            # Whoever makes a packet makes its checksum: veth would leave it to nobody.
            self._run(end, "ethtool", "-K", "eth0", "tx", "off")
            self._run(end, "ip", "link", "set", "eth0", "up")
        if self.kind.startswith("kernel"):
            self._run("server", "ip", "addr", "add", f"{SERVER_IP}/8", "dev", "eth0")

    def vdev(self, end):
        """(ethdev name, --vdev argument) of one end."""
        kind = self.kind.replace("kernel_", "").replace("kernel", "af_packet")
        if kind == "memif":
            role = "server" if end == "server" else "client"
            mac = SERVER_MAC if end == "server" else GENERATOR_MAC
            return "net_memif0", (f"net_memif0,role={role},id=0,socket={self.socket},"
                                  f"socket-abstract=no,rsize=11,mac={mac}")
        name = f"net_{kind}0"
        many = f",qpairs={self.queues}" if self.queues > 1 else ""
        # net_af_packet's rings: 4,096 frames, as much as net_af_xdp's default.
        extra = f",framecnt=4096{many}" if kind == "af_packet" else ""
        return name, f"{name},iface=eth0{extra}"

    def start(self, end, args):
        log = self.bench.path / f"{self.id}.{end}.{self.bench.number()}.log"
        process = Process(args, log, self.netns[end])
        self.bench.on_exit(process.stop)
        return process


PASSWORD_LOGIN = ("--user", USER, "--password", PASSWORD)


class Forwarder:
    """A running one of the three. `name` is for reports; `login` are the generator's arguments."""

    def __init__(self, name, wire, process, login=PASSWORD_LOGIN):
        self.name, self.wire, self.process, self.login = name, wire, process, login

    def check(self):
        self.process.check_alive()

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def go_on(self):
        self.process.signal(signal.SIGCONT)

    def stop(self):
        self.go_on()
        self.process.stop()

    def cpu_seconds(self):
        """CPU time of all its threads, user and system."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = stat.rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """Resident memory that isn't of files: what DPDK shares (memfd) counts."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        kib = sum(int(re.search(rf"^{what}:\s+(\d+) kB", status, re.M)[1])
                  for what in ("RssAnon", "RssShmem"))
        return kib * 1024


def start_relay(wire, legs, workers=1, poll="adaptive", policy="relay"):
    """`policy`: "relay", or "call" with each call armed at once and virtual relayed addresses."""
    bench = wire.bench
    port, vdev = wire.vdev("server")
    addresses = 0 if policy == "call" else -(-legs // PORTS_PER_ADDRESS)
    # Apart from the listening one, whose port no relayed address may have.
    relayed = [f"10.0.0.{2 + i}" for i in range(addresses)]
    lcores = ",".join([f"0@{SERVER_CPU}"] + [f"{1 + w}@{(SERVER_CPU + w) % 2}"
                                             for w in range(workers)])
    config = write_config(bench.path / f"{wire.id}.toml", f"""
[dataplane]
eal_args = ["--no-pci", "--lcores={lcores}", "--vdev={vdev}"]
workers = {workers}
poll = "{poll}"
max_allocations = {max(legs, 2)}
[[interface]]
port = "{port}"
{f'mac = "{FORWARDER_MAC}"' if wire.kind == "af_packet" else ""}
addresses = [{", ".join(f'"{ip}/8"' for ip in [SERVER_IP, *relayed])}]
[turn]
realm = "{REALM}"
listen = ["{SERVER_IP}:3478"]
{f"relay_addresses = {json.dumps(relayed)}" if relayed else 'virtual_prefix = "100.64.0.0/10"'}
relay_ports = "1024-65535"
[turn.auth]
{f'users = {{ {USER} = "{PASSWORD}" }}' if policy != "call" else f'shared_secrets = ["{PASSWORD}"]'}
[turn.peers]
policy = "{policy}"
{'[turn.calls]' if policy == "call" else ""}
{'arm = "at-once"' if policy == "call" else ""}
[turn.limits]
# The generator's thousands of clients share a few prefixes.
requests_per_prefix = 1000000
unauthenticated_excess_rate = 1000000000
unauthenticated_excess_burst = 1000000000
[log]
level = "info"
""")
    daemon = Daemon("sotto-relayd", config, netns=wire.netns["server"], binaries=bench.bin)
    bench.on_exit(daemon.stop)
    daemon.wait_ready()
    daemon.notify.close()
    login = ("--call-policy", "--secret", PASSWORD) if policy == "call" else PASSWORD_LOGIN
    return Forwarder("sotto", wire, daemon, login)


def start_testpmd(wire, mode="5tswap"):
    _, vdev = wire.vdev("server")
    lcores = f"0@{SERVER_CPU},1@{SERVER_CPU}"
    process = wire.start("server", [
        "stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "--no-shconf", "--no-pci",
        "--no-telemetry", "-m", "512", f"--lcores={lcores}", f"--vdev={vdev}", "--",
        f"--forward-mode={mode}", "--nb-cores=1", "--rxd=1024", "--txd=1024", "--burst=32",
        "--total-num-mbufs=65536", "--auto-start", "--stats-period=3600", "--no-lsc-interrupt"])
    mac = FORWARDER_MAC if wire.kind == "af_packet" else SERVER_MAC
    testpmd = Forwarder("testpmd", wire, process, login=("--mirror", "--mac", mac))

    def is_forwarding():
        testpmd.check()
        return f"{mode} packet forwarding - " in testpmd.process.output()

    wait_for("dpdk-testpmd forwarding", 30, is_forwarding)
    return testpmd


def start_coturn(wire):
    process = wire.start("server", pinned([
        "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--lt-cred-mech",
        "--user", f"{USER}:{PASSWORD}", "--realm", REALM, "--listening-ip", SERVER_IP, "--relay-ip",
        SERVER_IP, "--min-port", "1024", "--max-port", "65535", "--log-file", "/dev/null",
        "--simple-log", "--no-stdout-log", "--pidfile", wire.bench.path / f"{wire.id}.pid", "--db",
        wire.bench.path / f"{wire.id}.db"], SERVER_CPU))
    coturn = Forwarder("coturn", wire, process)

    def is_listening():
        coturn.check()
        table = run(["ip", "netns", "exec", wire.netns["server"], "cat", "/proc/net/udp"]).stdout
        return ":0D96 " in table

    wait_for("coturn listening", 20, is_listening)
    # Its relay threads are set up after that, and clients who come in between may never be
    # answered.
    time.sleep(1)
    return coturn


class Generator:
    """`sotto-loadgen wire --control` at the other end of a forwarder's wire."""

    def __init__(self, forwarder, legs, mix="opus", order="random", seconds=300):
        wire = forwarder.wire
        port, vdev = wire.vdev("generator")
        args = [wire.bench.bin / "sotto-loadgen", "wire", "--control", "--eal",
                f"--lcores=0@{GENERATOR_CPU} --vdev={vdev}", "--port", port, "--queues",
                wire.queues, "--server", f"{SERVER_IP}:3478", "--clients", CLIENTS, "--legs", legs,
                "--mix", mix, "--order", order, "--no-release", *forwarder.login]
        self.forwarder = forwarder
        self._process = start_generator(wire, args)
        self.setup = self._read(seconds)
        self.pause()

    def command(self, line, seconds=120):
        """Gives the forwarder and this generator their turn; returns what came of it."""
        self.forwarder.check()
        self.forwarder.go_on()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            return self._read(seconds)
        finally:
            self.pause()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)
        self.forwarder.pause()

    def close(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()
        self.forwarder.stop()

    def _read(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = b""
            end = time.monotonic() + seconds
            while not line.endswith(b"\n"):
                if not selector.select(max(0, end - time.monotonic())):
                    raise LabError(f"sotto-loadgen on {self.forwarder.name} said nothing for "
                                   f"{seconds} s")
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    self.forwarder.check()
                    raise LabError(f"sotto-loadgen on {self.forwarder.name}: "
                                   f"{self._process.stderr.read().decode().strip()}")
                line += part
        report = json.loads(line)
        wrong = {k: report["totals"][k] for k in ("corrupted", "bad_checksum", "misdelivered")}
        if any(wrong.values()):
            raise LabError(f"{self.forwarder.name} changed packets: {wrong}")
        return report


def start_generator(wire, args):
    process = subprocess.Popen(
        ["ip", "netns", "exec", wire.netns["generator"], *pinned(args, GENERATOR_CPU)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)

    def end():
        if process.poll() is None:
            process.kill()
            process.wait()

    wire.bench.on_exit(end)
    return process


def allocate_once(forwarder, legs, window=128, release=True):
    """Allocations alone, many in flight; returns the generator's report."""
    wire = forwarder.wire
    port, vdev = wire.vdev("generator")
    args = [wire.bench.bin / "sotto-loadgen", "wire", "--json", "--allocate-only", "--eal",
            f"--lcores=0@{GENERATOR_CPU} --vdev={vdev}", "--port", port, "--queues", wire.queues,
            "--server", f"{SERVER_IP}:3478", "--clients", CLIENTS, "--legs", legs,
            "--window", window, *forwarder.login, *([] if release else ["--no-release"])]
    process = start_generator(wire, args)
    out, err = process.communicate(timeout=300)
    if process.returncode != 0:
        raise LabError(f"sotto-loadgen on {forwarder.name}: {err.decode().strip()}")
    return json.loads(out)
