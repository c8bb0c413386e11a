# SPDX-License-Identifier: Apache-2.0
"""sotto-phone on the hosts of a lab: what it says, as data."""

import json
import signal

from .environment import BIN, SANITIZED
from .processes import LabError, wait_for

_SECONDS = 120 if SANITIZED else 30


class Said(list):
    """Events of a phone. `code` is its exit code, once it has ended."""

    code = None

    def all(self, event):
        return [e for e in self if e["event"] == event]

    def one(self, event):
        """The only event of that name."""
        found = self.all(event)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} times {event!r} in {json.dumps(self, indent=1)}")
        return found[0]

    def names(self):
        return [e["event"] for e in self]


def _parse(text):
    said = Said()
    for line in text.splitlines():
        try:
            said.append(json.loads(line))
        except json.JSONDecodeError:
            raise LabError(f"sotto-phone said something else than JSON: {line!r}") from None
    return said


class Phone:
    """A device of an account on a host. Its state file outlives its commands."""

    def __init__(self, host, signald, account, state=None, server=None, ca=None):
        self.host, self.account, self._signald = host, account, signald
        self.ca = ca or signald.ca
        self.state = state or host.lab.path / f"{account}.json"
        self.server = server or signald.url

    def _args(self, command, flags=()):
        return [BIN / "sotto-phone", "--server", self.server, "--ca", self.ca,
                "--development", self.account, "--state", self.state, *flags, *command]

    def run(self, *command, code=0, flags=()):
        """Runs a command to its end, which must come with this exit code."""
        done = self.host.run(*self._args(command, flags), check=False, timeout=_SECONDS * 2)
        said = _parse(done.stdout)
        said.code = done.returncode
        if code is not None and done.returncode != code:
            raise AssertionError(f"sotto-phone {' '.join(map(str, command))} of {self.account} "
                                 f"ended with {done.returncode}, not {code}: "
                                 f"{done.stdout}{done.stderr}")
        return said

    def start(self, *command, flags=(), until="waiting"):
        """Starts a command, and returns when it has said `until`."""
        running = Running(self, self.host.start(*self._args(command, flags)))
        if until:
            running.wait_for(until)
        return running

    def clone(self, name):
        """Another device of the account, on the same host."""
        state = self.host.lab.path / f"{name}.json"
        self.run("clone", state)
        return Phone(self.host, self._signald, self.account, state, self.server)


class Running:
    """A phone that is doing something."""

    def __init__(self, phone, process):
        self.phone, self.process = phone, process

    def said(self):
        # The last line may be half written.
        return _parse(self.process.output().rpartition("\n")[0])

    def wait_for(self, event, seconds=_SECONDS):
        """The first event of that name."""
        def find():
            found = self.said().all(event)
            if not found and self.process.returncode is not None:
                raise AssertionError(f"{self.phone.account}'s phone ended with "
                                     f"{self.process.returncode} before {event!r}: "
                                     f"{self.process.output()}")
            return found and found[0]
        return wait_for(f"{event!r} at {self.phone.account}'s phone", seconds, find, interval=0.01)

    def finish(self, code=0, seconds=_SECONDS):
        """Waits for its end. Returns all that it said."""
        self.process.wait(seconds)
        said = self.said()
        said.code = self.process.returncode
        if code is not None and said.code != code:
            raise AssertionError(f"{self.phone.account}'s phone ended with {said.code}, not "
                                 f"{code}: {self.process.output()}")
        return said

    def interrupt(self, code=0):
        """SIGINT, which ends it in order."""
        self.process.signal(signal.SIGINT)
        return self.finish(code)
