# SPDX-License-Identifier: Apache-2.0
"""A million allocations, looked at one and all: what that costs in memory, and that the relay goes
on.

The relay and its clients are two processes on a shared-memory wire (net_memif); no network is
involved. Where a sanitizer slows everything down, it is fewer.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.daemons import Daemon, Folder
from lab.environment import BIN, SANITIZED
from lab.processes import Process

ALLOCATIONS = 20_000 if SANITIZED else 1_000_000
# Of the list: a batch, what is in flight on the connection, and what gRPC keeps.
# (A sanitizer keeps what is freed.)
ROOM_KIB = (400 if SANITIZED else 24) * 1024
SOTTOCTL_KIB = (400 if SANITIZED else 64) * 1024
SECRET = "a-secret-for-a-million"


class Million(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Folder("relay.toml")
        cls.addClassCleanup(folder.cleanup)
        cls.path = folder.path
        wire = f"socket={cls.path}/wire.sock,socket-abstract=no,id=0,rsize=11"
        config = folder.write(f"""
[dataplane]
eal_args = ["--no-pci", "--lcores=0@0,1@0", "--vdev=net_memif0,role=server,{wire}"]
max_allocations = {ALLOCATIONS}
[[interface]]
port = "net_memif0"
addresses = ["10.0.0.1/8"]
[turn]
realm = "example.org"
listen = ["10.0.0.1:3478"]
virtual_prefix = "100.64.0.0/10"
[turn.auth]
shared_secrets = ["{SECRET}"]
[turn.peers]
policy = "call"
[turn.limits]
requests_per_prefix = 1000000
unauthenticated_excess_rate = 1000000000
unauthenticated_excess_burst = 1000000000
[admin]
socket = "{cls.path}/relay.sock"
""")
        cls.relay = Daemon("sotto-relayd", config)
        cls.addClassCleanup(cls.relay.notify.close)
        cls.addClassCleanup(cls.relay.stop_in_order, 60)
        cls.relay.wait_ready()
        clients = Process([
            BIN / "sotto-loadgen", "wire", "--eal",
            f"--no-pci --lcores=0@1 --vdev=net_memif0,role=client,{wire}", "--port", "net_memif0",
            "--server", "10.0.0.1:3478", "--clients", "10.1.0.0/16", "--legs", ALLOCATIONS,
            "--allocate-only", "--no-release", "--call-policy", "--secret", SECRET, "--json"],
            cls.path / "clients.log")
        cls.addClassCleanup(clients.stop, 60)
        assert clients.wait(280) == 0, clients.tail()

    def command(self, *args):
        return [BIN / "sottoctl", "--target", f"unix:{self.path}/relay.sock",
                *map(str, args)]

    def json(self, *args):
        done = subprocess.run(self.command("-o", "json", *args), capture_output=True, text=True,
                              timeout=60, check=True)
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def watched(self):
        """Meanwhile others are answered, and the relay doesn't grow."""
        before = self.relay.memory_kib()
        most, answered = [before], []
        over = threading.Event()

        def watch():
            while not over.wait(0.05):
                most[0] = max(most[0], self.relay.memory_kib())
                began = time.monotonic()
                self.json("status")
                answered.append(time.monotonic() - began)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        self.assertLess(most[0] - before, ROOM_KIB)
        self.assertTrue(answered)
        self.assertLess(max(answered), 10)

    def test_a_list_of_all_costs_what_a_batch_does(self):
        self.assertEqual(self.json("status")["allocations"], ALLOCATIONS)
        with self.watched():
            process = subprocess.Popen(self.command("allocations", "list", "-o", "json"),
                                       stdout=subprocess.PIPE)
            ids, last = 0, -1
            for line in process.stdout:
                for found in re.findall(rb'"id": ?"?(\d+)', line):
                    self.assertGreater(int(found), last)
                    last = int(found)
                    ids += 1
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            process.stdout.close()
        self.assertEqual(process.returncode, 0)
        self.assertEqual(ids, ALLOCATIONS)
        self.assertLess(usage.ru_maxrss, SOTTOCTL_KIB)

    def test_one_is_found_among_all(self):
        some = self.json("allocations", "list", "--limit", "1000")[-1]
        found, = self.json("allocations", "list", "--client", some["client"])
        self.assertEqual(found["id"], some["id"])
        self.assertEqual(self.json("allocations", "show", some["id"])["client"], some["client"])

    def test_calls_are_listed_too(self):
        process = subprocess.Popen(self.command("calls", "list"), stdout=subprocess.PIPE)
        lines = sum(1 for _ in process.stdout)
        self.assertEqual(process.wait(), 0)
        process.stdout.close()
        self.assertIn(lines - ALLOCATIONS // 2, (0, 1))  # a header

    def test_what_is_asked_for_is_ended(self):  # the last
        of_all = ("allocations", "end", "--client", "10.1.0.0/16")
        with self.watched():
            self.assertEqual(self.json(*of_all, "--dry-run"), {"would_end": ALLOCATIONS})
            some = ALLOCATIONS // 3
            self.assertEqual(self.json(*of_all, "--limit", some), {"ended": some})
            self.assertEqual(self.json("status")["allocations"], ALLOCATIONS - some)
            self.assertEqual(self.json(*of_all), {"ended": ALLOCATIONS - some})
        self.assertEqual(self.json("status")["allocations"], 0)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unittest.main(verbosity=2)
