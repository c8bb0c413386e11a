"""Starts sotto-relayd for tests, and a configuration to start it with."""

import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

CONFIG = """\
[dataplane]
eal_args = ["--no-pci", "--vdev={vdev}"]
workers = {workers}
max_allocations = 1000
[[interface]]
port = "{port}"
addresses = ["192.0.2.10/24", "2001:db8::10/64"]
[turn]
realm = "example.org"
listen = ["192.0.2.10:3478"]
relay_addresses = ["192.0.2.10"]
[turn.auth]
users = {{ demo = "a-long-secret" }}
"""


def config(vdev, workers=1):
    return CONFIG.format(vdev=vdev, workers=workers, port=vdev.split(",")[0])


class Folder:
    """A temporary folder with configuration files."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="sotto-relayd-test-")
        self.path = pathlib.Path(self._folder.name)

    def write(self, text, name="relayd.toml"):
        path = self.path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def cleanup(self):
        self._folder.cleanup()


def run(relayd, *args, timeout=60, prefix=()):
    """Runs the daemon to its end, which must come by itself."""
    return subprocess.run(
        [*prefix, relayd, *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class Daemon:
    """A running daemon, in a network namespace. Ends it in any case."""

    def __init__(self, relayd, config_path, namespace, folder):
        self.socket_path = folder.path / "notify"
        self.socket_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.socket_path))
        # The daemon may have become another user by the time it speaks.
        folder.path.chmod(0o755)
        self.socket_path.chmod(0o777)
        self.log = open(folder.path / "log", "w+")
        environment = dict(os.environ, NOTIFY_SOCKET=str(self.socket_path))
        environment.pop("JOURNAL_STREAM", None)
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, relayd, "--config", str(config_path)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=environment,
        )

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

    def thread_fields(self, *fields):
        """The given fields of /proc/PID/status, for each thread."""
        threads = {}
        for thread in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            lines = dict(
                line.split(":\t", 1)
                for line in (thread / "status").read_text().splitlines()
                if ":\t" in line
            )
            threads[f"{thread.name} {lines['Name']}"] = {f: lines[f].strip() for f in fields}
        return threads

    def end(self, with_signal=signal.SIGTERM, timeout=30):
        self.process.send_signal(with_signal)
        return self.process.wait(timeout)

    def cleanup(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.close()
        self.log.close()


def main():
    """unittest's main() with the paths that ctest passes; they are class attributes of the tests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--relayd", required=True)
    parser.add_argument("--examples", required=True, type=pathlib.Path)
    options, rest = parser.parse_known_args()
    unittest.TestCase.relayd = options.relayd
    unittest.TestCase.examples = options.examples
    unittest.main(argv=[sys.argv[0], "-v", *rest])
