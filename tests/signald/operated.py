# SPDX-License-Identifier: Apache-2.0
"""A sotto-signald with its operator's side open, and sottoctl to drive it."""

import json
import socket
import subprocess
import unittest

from lab import loopback
from lab.device import PUT_EPOCH_KEY, Device
from lab.environment import BIN

SOTTOCTL = BIN / "sottoctl"
DONE, REFUSED, USAGE, NO_ANSWER, NOT_FOUND = range(5)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OperatedTest(unittest.TestCase):
    """Each test has a folder; start() makes the daemon."""

    def setUp(self):
        self.folder = loopback.Folder()
        self.addCleanup(self.folder.cleanup)
        self.socket = self.folder.path / "admin.sock"
        self.text = self.folder.config() + f'[admin]\nsocket = "{self.socket}"\n'

    def start(self, more=""):
        self.text += more
        self._run()
        return self.daemon

    def _run(self):
        self.daemon = loopback.Server(self.folder.write(self.text), self.folder)
        self.addCleanup(self.daemon.cleanup)

    def device(self, account, **options):
        device = Device(self.daemon, account, **options)
        self.addCleanup(device.close)
        return device

    def register(self, device, key):
        device.done(PUT_EPOCH_KEY, key.put())

    def ctl(self, *args, code=DONE, stdin="", target=None):
        done = subprocess.run(
            [SOTTOCTL, "--signaling", "--target", target or f"unix:{self.socket}", *map(str, args)],
            input=stdin, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done

    def table(self, *args):
        done = self.ctl(*args)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def json(self, *args, **options):
        return json.loads(self.ctl("-o", "json", *args, **options).stdout)

    def restart(self):
        self.assertEqual(self.daemon.end(), 0)
        self.daemon.cleanup()
        self._run()
