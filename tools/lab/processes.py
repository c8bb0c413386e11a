# SPDX-License-Identifier: Apache-2.0
"""Programs that the lab runs, to their end or beside it, and what can go wrong with them."""

import ctypes
import os
import pathlib
import re
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class LabError(Exception):
    """What the lab could not do, in a sentence."""


def run(args, *, timeout=60, check=True, **kwargs):
    """Runs a command to its end; its output is text, and in the error if it fails."""
    if "input" not in kwargs:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        [str(a) for a in args], capture_output=True, text=True, timeout=timeout, **kwargs
    )
    if check and done.returncode != 0:
        raise LabError(
            f"`{' '.join(map(str, args))}` ended with {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()}"
        )
    return done


def wait_for(what, seconds, condition, interval=0.02):
    """Returns the first true value of condition(); LabError after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what} did not happen within {seconds} s")
        time.sleep(interval)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A running program, in a network namespace if one is named. Its output goes to the file `log`.
    It ends at the latest with the thread that started it."""

    def __init__(self, args, log, netns=None, env=None):
        """`env`: changes to the environment; what is None there is taken out of it."""
        self.args = [str(a) for a in args]
        self.log = pathlib.Path(log)
        enter = ["ip", "netns", "exec", netns] if netns else []
        environment = {**os.environ, **(env or {})}
        with open(self.log, "wb") as out:
            self._process = subprocess.Popen(
                [*enter, *self.args], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in environment.items() if value is not None},
                preexec_fn=_die_with_parent,
            )
        self.pid = self._process.pid  # `ip netns exec` becomes the program

    @property
    def name(self):
        return pathlib.Path(self.args[0]).name

    @property
    def returncode(self):
        """None while it runs."""
        return self._process.poll()

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=60):
        return "\n".join(self.output().splitlines()[-lines:])

    def check_alive(self):
        if self.returncode is not None:
            raise LabError(f"{self.name} ended with {self.returncode}:\n{self.tail()}")

    def signal(self, number):
        if self.returncode is None:
            self._process.send_signal(number)

    def wait(self, seconds):
        """Waits for its end. Returns the exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} did not end within {seconds} s") from None

    def stop(self, seconds=5):
        """Sends SIGTERM, then SIGKILL. Returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def stop_in_order(self, seconds=20):
        """Sends SIGTERM, which must end it with status 0: a sanitizer that has found something
        changes that."""
        if (status := self.stop(seconds)) != 0:
            raise LabError(f"{self.name} ended with {status} on SIGTERM:\n{self.tail()}")

    def kill(self):
        """Sends SIGKILL. Returns the exit status."""
        self.signal(signal.SIGKILL)
        return self._process.wait()

    def memory_kib(self):
        """Returns its anonymous resident memory: what it holds, not what it maps."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.M)[1])
