# SPDX-License-Identifier: Apache-2.0
"""The part of quickstart.sh that lays the network, lets the story happen and tells it."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

from lab.network import Lab
from lab.processes import LabError
from quickstart_page import open_page
from quickstart_story import Stage, tell_story, web_root
from quickstart_words import tell, tell_how_to_go_on

PID_FILE = pathlib.Path("/run/sotto-quickstart.pid")
PREFIX = "quickstart"


def run(arguments):
    with Lab(PREFIX) as lab:
        stage = Stage(lab, web_root())
        result = tell_story(stage)
        if arguments.keep:
            stage.stay()
            page, about_page = open_page(stage) if web_root() else (None, "npm has not built it")
            result["kept"] = {
                "pid": os.getpid(), "page": page, "about_page": about_page,
                "ca": str(stage.signald.ca), "state": str(stage.phones["bob"].state),
                "logs": [str(p.process.log) for p in (stage.relay, stage.signald)]}
        if arguments.json:
            print(json.dumps(result))
        else:
            tell(result)
            if arguments.keep:
                tell_how_to_go_on(result)
        sys.stdout.flush()
        if arguments.keep:
            yield result["ok"]
            signal.pause()
    if not arguments.keep:
        yield result["ok"]


def keep(arguments):
    """The lab lives as long as the process that made it, so a child makes it and stays."""
    stop(quiet=True)
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        return os.read(reader, 1) == b"1"
    try:
        for ok in run(arguments):
            os.setsid()  # Ctrl-C and the terminal's end are no longer its business
            PID_FILE.write_text(f"{os.getpid()}\n")
            os.write(writer, b"1" if ok else b"0")
            os.close(writer)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
    finally:
        PID_FILE.unlink(missing_ok=True)
    return False


def stop(quiet=False):
    """Ends what --keep left. False if there is nothing."""
    try:
        pid = int(PID_FILE.read_text())
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        command = b""
    if b"quickstart_call.py" not in command:
        if not quiet:
            print("quickstart.sh: nothing is running.", file=sys.stderr)
        return quiet
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return not pathlib.Path(f"/proc/{pid}").exists()


def main():
    parser = argparse.ArgumentParser()
    for flag in ("--keep", "--stop", "--json"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    if arguments.stop:
        return stop()
    if arguments.keep:
        return keep(arguments)
    with contextlib.closing(run(arguments)) as steps:
        return next(steps)


if __name__ == "__main__":
    try:
        sys.exit(0 if main() else 1)
    except (LabError, AssertionError) as error:
        sys.exit(f"quickstart.sh: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
