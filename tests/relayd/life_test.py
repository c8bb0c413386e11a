# SPDX-License-Identifier: Apache-2.0
"""The daemon's life, in a network namespace of its own: start, readiness, privileges, end, and what
is left behind (nothing). Needs root."""

import json
import os
import pathlib
import signal
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.daemons import Daemon, Folder
from lab.environment import BIN
from lab.network import Lab
from lab.packets import ping
from lab.test_case import main
from minimal import config


def thread_fields(daemon, *fields):
    """The given fields of /proc/PID/status, for each thread."""
    threads = {}
    for thread in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        lines = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines()
                     if ":\t" in line)
        threads[f"{thread.name} {lines['Name']}"] = {f: lines[f].strip() for f in fields}
    return threads


class Life(unittest.TestCase):
    def setUp(self):
        self.folder = Folder("relayd.toml")
        self.folder.path.chmod(0o755)  # a relay that has become another user reaches it
        self.addCleanup(self.folder.cleanup)
        self.host = self.enterContext(Lab()).lone_host("relay")
        self.ip("link", "add", "relay0", "type", "veth", "peer", "name", "host0")
        self.ip("link", "set", "relay0", "up")
        self.ip("link", "set", "host0", "up")
        self.ip("address", "add", "192.0.2.1/24", "dev", "host0")
        self.ip("address", "add", "2001:db8::1/64", "dev", "host0", "nodad")
        self.before = self.leftovers()

    def ip(self, *args):
        return self.host.run("ip", *args).stdout

    def leftovers(self):
        """What a relay could leave: interfaces, programs and flags on them, files."""
        links = json.loads(self.ip("-json", "-details", "link", "show"))
        files = set()
        for folder in ("/run/dpdk", "/run/sotto", "/dev/shm", "/dev/hugepages", "/sys/fs/bpf"):
            files |= {str(path) for path in pathlib.Path(folder).glob("**/*")}
        return (
            sorted(
                (link["ifname"], link["promiscuity"], link["mtu"], link["address"], "xdp" in link)
                for link in links
            ),
            sorted(files),
        )

    def assert_nothing_left(self):
        links, files = self.leftovers()
        links_before, files_before = self.before
        self.assertEqual(links, links_before)
        # What other processes of this machine left before may be gone by now.
        self.assertEqual(set(files) - set(files_before), set())

    def start(self, text, name="relayd.toml"):
        daemon = Daemon("sotto-relayd", self.folder.write(text, name), netns=self.host.netns)
        self.addCleanup(daemon.cleanup)
        return daemon

    def run_to_failure(self, text):
        done = self.host.run(BIN / "sotto-relayd", "--config", self.folder.write(text), check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        # Log lines begin with the time; what remains is the sentence.
        sentences = [l for l in done.stderr.splitlines() if not l.startswith("20")]
        self.assertEqual(len(sentences), 1, done.stderr)
        self.assert_nothing_left()
        return sentences[0]

    def assert_unprivileged(self, daemon, kept_by_main=False):
        threads = thread_fields(daemon, "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                                "NoNewPrivs", "Seccomp", "Tgid")
        self.assertGreaterEqual(len(threads), 2)
        for name, thread in threads.items():
            with self.subTest(thread=name):
                main = name.split()[0] == thread["Tgid"]
                for field in ("CapInh", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(int(thread[field], 16), 0, field)
                if not (main and kept_by_main):
                    self.assertEqual(int(thread["CapPrm"], 16), 0)
                self.assertEqual(thread["NoNewPrivs"], "1")
                self.assertEqual(thread["Seccomp"], "2")

    def serve_and_end(self, vdev, workers=1, kept_by_main=False, more=""):
        daemon = self.start(config(vdev, workers) + more)
        self.assertIn("STATUS=", daemon.wait_notified("READY=1"))
        self.assert_unprivileged(daemon, kept_by_main)
        if "net_tap" in vdev:
            self.ip("address", "del", "192.0.2.1/24", "dev", "host0")
            self.ip("address", "add", "192.0.2.1/24", "dev", "tap0")
        # The relay answers on its port, privileges or not.
        self.assertTrue(any(ping(self.host, "192.0.2.10") for _ in range(3)), daemon.output())
        self.assertEqual(daemon.end(), 0, daemon.output())
        daemon.wait_notified("STOPPING=1", seconds=1)
        if "net_tap" in vdev:
            self.ip("address", "add", "192.0.2.1/24", "dev", "host0")
        self.assert_nothing_left()

    def test_af_packet(self):
        self.serve_and_end("net_af_packet0,iface=relay0")

    def test_af_packet_with_two_workers(self):
        self.serve_and_end("net_af_packet0,iface=relay0,qpairs=2", workers=2)

    def test_tap(self):
        self.serve_and_end("net_tap0,iface=tap0")

    def test_af_xdp(self):
        for more in ("", '[process]\nuser = "nobody"\n'):
            with self.subTest(more):
                self.serve_and_end("net_af_xdp0,iface=relay0", kept_by_main=True, more=more)

    def test_another_user(self):
        text = config("net_af_packet0,iface=relay0") + '[process]\nuser = "nobody"\n'
        daemon = self.start(text)
        daemon.wait_notified("READY=1")
        self.assert_unprivileged(daemon)
        for thread in thread_fields(daemon, "Uid", "Gid").values():
            self.assertNotIn("0", thread["Uid"].split() + thread["Gid"].split())
        self.assertEqual(daemon.end(signal.SIGINT), 0)
        self.assert_nothing_left()

    def test_admin_service_is_as_unprivileged(self):
        path = self.folder.path / "admin.sock"
        for vdev, kept_by_main in (("net_af_packet0,iface=relay0", False),
                                   ("net_af_xdp0,iface=relay0", True)):
            with self.subTest(vdev):
                text = config(vdev) + (
                    f'[process]\nuser = "nobody"\n[admin]\nsocket = "{path}"\n'
                )
                os.chown(self.folder.path, 65534, 65534)
                daemon = self.start(text)
                daemon.wait_notified("READY=1")
                self.assertEqual(path.stat().st_uid, 65534)
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(10)
                    client.connect(str(path))
                    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
                    settings = client.recv(9)  # gRPC has it, on whatever thread
                    self.assertEqual(settings[3:4], b"\4")
                    self.assert_unprivileged(daemon, kept_by_main)
                    names = " ".join(thread_fields(daemon, "Tgid"))
                    self.assertIn("sotto-admin", names)
                    self.assertEqual(daemon.end(), 0, daemon.output())
                self.assertNotIn("can't be removed at exit", daemon.output())
                self.assertFalse(path.exists())
                self.assert_nothing_left()

    def test_unknown_admin_group(self):
        text = config("net_null0") + (
            f'[admin]\nsocket = "{self.folder.path}/admin.sock"\ngroup = "no-such-group-here"\n'
        )
        self.assertIn("there is no group no-such-group-here", self.run_to_failure(text))

    def test_admin_files_that_are_no_certificates(self):
        path = self.folder.write("not PEM", "file.pem")
        text = config("net_null0") + (
            f'[admin]\nlisten = "127.0.0.1:9640"\ntls_ca = "{path}"\ntls_cert = "{path}"\n'
            f'tls_key = "{path}"\n'
        )
        self.assertIn("[admin] listen: " + str(path) + " contains no certificate",
                      self.run_to_failure(text))

    def test_json_log_and_reload(self):
        text = config("net_af_packet0,iface=relay0") + '[log]\nformat = "json"\n'
        daemon = self.start(text)
        daemon.wait_notified("READY=1")
        self.folder.write(text.replace('"json"', '"json"\nlevel = "debug"').replace("1000", "999"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_notified("READY=1", seconds=10)
        self.folder.write("nonsense")
        daemon.signal(signal.SIGHUP)
        daemon.wait_notified("READY=1", seconds=10)
        self.assertEqual(daemon.end(), 0)
        lines = [json.loads(line) for line in daemon.output().splitlines()]
        self.assertIn("[dataplane] max_allocations", [line.get("key") for line in lines])
        self.assertIn("Reloaded the configuration.", [line["message"] for line in lines])
        self.assertTrue(any("is not valid TOML" in line.get("error", "") for line in lines))
        self.assertNotIn("a-long-secret", daemon.output())

    def test_second_relay_on_the_interface_is_refused(self):
        text = config("net_af_packet0,iface=relay0")
        daemon = self.start(text)
        daemon.wait_notified("READY=1")
        self.before = self.leftovers()
        self.assertIn(
            "interface relay0 is in use by another sotto-relayd", self.run_to_failure(text)
        )
        self.assertEqual(daemon.end(), 0)

    def test_second_relay_on_the_admin_socket_is_refused(self):
        admin = f'[admin]\nsocket = "{self.folder.path}/admin.sock"\n'
        daemon = self.start(config("net_af_packet0,iface=relay0") + admin)
        daemon.wait_notified("READY=1")
        self.before = self.leftovers()
        self.assertIn(
            "admin.sock is in use", self.run_to_failure(config("net_null0") + admin)
        )
        self.assertEqual(daemon.end(), 0)

    def test_killed_relay_blocks_no_other(self):
        for vdev in ("net_af_packet0,iface=relay0", "net_tap0,iface=tap0"):
            daemon = self.start(config(vdev))
            daemon.wait_notified("READY=1")
            daemon.kill()
            self.assert_nothing_left()
            daemon = self.start(config(vdev))
            daemon.wait_notified("READY=1")
            self.assertEqual(daemon.end(), 0)

    def test_missing_port(self):
        text = config("net_null0").replace('port = "net_null0"', 'port = "eth7"')
        error = self.run_to_failure(text)
        self.assertIn("port eth7 does not exist; there are net_null0;", error)

    def test_missing_interface(self):
        error = self.run_to_failure(config("net_af_packet0,iface=none0"))
        self.assertIn("port net_af_packet0 does not exist", error)
        self.assertIn("No such device", error)

    def test_missing_pci_device(self):
        text = config("net_null0").replace('"net_null0"', '"0000:7f:00.0"')
        self.assertIn("bind the NIC to vfio-pci", self.run_to_failure(text))

    def test_interface_that_is_down(self):
        self.ip("link", "set", "relay0", "down")
        self.before = self.leftovers()
        error = self.run_to_failure(config("net_af_packet0,iface=relay0"))
        self.assertIn("interface relay0 is down; run ip link set relay0 up", error)

    def test_too_few_queues(self):
        error = self.run_to_failure(config("net_af_packet0,iface=relay0", workers=2))
        self.assertIn("has 1 queue, but 2 workers need one each; add qpairs=2", error)

    def test_eal_arguments_that_mean_nothing(self):
        text = config("net_null0").replace("--no-pci", "--no-such-option")
        self.assertIn("DPDK's EAL failed to start", self.run_to_failure(text))

    def test_address_that_the_kernel_has(self):
        self.ip("address", "add", "192.0.2.10/24", "dev", "relay0")
        error = self.run_to_failure(config("net_af_packet0,iface=relay0"))
        self.assertIn("address in use: the kernel has 192.0.2.10 on relay0", error)

    def test_too_little_memory(self):
        text = config("net_null0").replace(
            "max_allocations", "memory_mb = 64\nmbufs = 1000000\nmax_allocations"
        )
        self.assertIn("raise [dataplane] memory_mb", self.run_to_failure(text))

    def test_unknown_user(self):
        text = config("net_null0") + '[process]\nuser = "no-such-user-here"\n'
        self.assertIn("there is no user no-such-user-here", self.run_to_failure(text))

    def test_ends_while_it_starts(self):
        daemon = self.start(config("net_af_packet0,iface=relay0"))
        # Its handlers are there from before EAL on; the time before them is too short to hit.
        time.sleep(0.3)
        self.assertIn(daemon.end(), (0, -signal.SIGTERM))
        self.assert_nothing_left()


if __name__ == "__main__":
    main()
