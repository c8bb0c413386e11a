# SPDX-License-Identifier: Apache-2.0
"""The daemons, sotto-relayd and sotto-signald, as programs that have a configuration file and
report their state with sd_notify(3). Everything that starts one starts it here.

    folder = Folder()
    daemon = Daemon("sotto-relayd", folder.write(text), netns=namespace)
    daemon.wait_ready()
    daemon.end()
"""

import pathlib
import signal
import socket
import tempfile
import time

from .environment import BIN
from .processes import LabError, Process

START_SECONDS = 60  # a sanitizer on a busy machine needs most of them


def write_config(path, text):
    """Writes a file that its owner alone can read, as it holds secrets. Returns its path."""
    path.write_text(text)
    path.chmod(0o600)
    return path


class Folder:
    """A temporary folder with configuration files."""

    def __init__(self, config="sotto.toml"):
        self._folder = tempfile.TemporaryDirectory(prefix="sotto-test-")
        self.path = pathlib.Path(self._folder.name)
        self._config = config

    def write(self, text, name=None):
        return write_config(self.path / (name or self._config), text)

    def cleanup(self):
        self._folder.cleanup()


class NotifySocket:
    """The other end of sd_notify(3). It has to be read or closed: a daemon blocks once some ten
    messages are unread (net.unix.max_dgram_qlen)."""

    def __init__(self, path):
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)  # the daemon may have become another user by the time it speaks

    def receive(self, seconds):
        """Returns the next message, whose lines are NAME=value; "" if none comes in time."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(4096).decode()
        except TimeoutError:
            return ""

    def close(self):
        self._socket.close()
        self.path.unlink(missing_ok=True)


class Daemon(Process):
    """A running daemon. Its notify socket is beside its configuration file, as is its log unless
    `log` names another file."""

    def __init__(self, program, config, *, log=None, netns=None, env=None, binaries=BIN):
        config = pathlib.Path(config)
        self.notify = NotifySocket(config.with_suffix(".notify"))
        super().__init__([binaries / program, "--config", config],
                         log or config.with_suffix(".log"), netns,
                         {"NOTIFY_SOCKET": str(self.notify.path), "JOURNAL_STREAM": None,
                          **(env or {})})

    def wait_notified(self, what, seconds=START_SECONDS):
        """Returns the first message with the line `what`, and drops those before it."""
        end = time.monotonic() + seconds
        while True:
            ended = self.returncode is not None
            message = self.notify.receive(0.1)
            if what in message.split("\n"):
                return message
            if ended and not message:
                raise LabError(f"{self.name} ended with {self.returncode}, without {what}:\n"
                               f"{self.tail()}")
            if time.monotonic() > end:
                raise LabError(f"{self.name}: no {what} within {seconds} s:\n{self.tail()}")

    def wait_ready(self, seconds=START_SECONDS):
        """Returns the message that says that it is ready."""
        return self.wait_notified("READY=1", seconds)

    def reload(self):
        """Makes it read its configuration again, and returns when it says that it has."""
        self.signal(signal.SIGHUP)
        self.wait_notified("RELOADING=1", 10)
        self.wait_notified("READY=1", 10)

    def end(self, with_signal=signal.SIGTERM, seconds=30):
        """Ends it with a signal, and returns the exit status; LabError if it doesn't end."""
        self.signal(with_signal)
        return self.wait(seconds)

    def cleanup(self):
        """Ends it in any case."""
        self.kill()
        self.notify.close()
