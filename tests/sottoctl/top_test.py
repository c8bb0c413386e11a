# SPDX-License-Identifier: Apache-2.0
"""sottoctl top in a terminal: what its pages show of a relay with calls, at any size, by
keyboard."""

import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import BIN
from lab.loadgen import Calls
from lab.processes import wait_for
from lab.test_case import LabTest, main

CALLS, PPS, SECONDS = 10, 500, 25


class Terminal:
    """tmux with one window of this size, a server of its own, and a program in it."""

    def __init__(self, folder, args, columns, rows):
        self.socket = folder / f"tmux.{columns}x{rows}"
        self.code = folder / f"exit.{columns}x{rows}"
        self.code.unlink(missing_ok=True)
        # The screen stays when the program has ended.
        script = ('trap : INT; code=$1; shift; "$@"; echo $? >"$code.new"; '
                  'mv "$code.new" "$code"; sleep 300')
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, "--", "sh",
                  "-c", script, "sh", self.code, *args)
        self.tmux("set-option", "-g", "status", "off")

    def tmux(self, *args):
        done = subprocess.run(["tmux", "-S", self.socket, *map(str, args)], capture_output=True,
                              text=True, timeout=10, check=True,
                              env={"TERM": "xterm-256color", "LANG": "C.UTF-8", "PATH": "/usr/bin"})
        return done.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def shows(self, pattern, seconds=10):
        wait_for(f"the screen showing {pattern!r}, not:\n{self.screen()}", seconds,
                 lambda: re.search(pattern, self.screen()))
        return self.screen()

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", columns, "-y", rows)

    def ended(self):
        """The exit code, once it has ended."""
        return int(self.code.read_text()) if self.code.exists() else None

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, check=False)


class Top(LabTest):
    def open(self, columns=80, rows=24, *args):
        terminal = Terminal(self.lab.path,
                            [BIN / "sottoctl", "--target", f"unix:{self.lab.path}/relay.sock",
                             "top", "--interval", "300ms", *args], columns, rows)
        self.addCleanup(terminal.close)
        return terminal

    def test_a_relay_at_work_in_a_terminal_of_80_by_24(self):
        calls = Calls(self.relay, self.alice, self.bob, CALLS, PPS, SECONDS)
        terminal = self.open()
        first = terminal.shows(rf"\b{2 * CALLS}\b")
        self.assertIn("serving", first)
        # What is sent, within what a loaded machine makes of it.
        rate = terminal.shows(r"(?i)packets")
        self.assertRegex(rate, r"\d")
        pages = {}
        for key in "1234":
            terminal.press(key)
            time.sleep(0.8)
            pages[key] = terminal.screen()
            self.assertTrue(pages[key].strip(), key)
            for line in pages[key].splitlines():
                self.assertLessEqual(len(line), 80)
        self.assertEqual(len({re.sub(r"[\d.,]+", "", page) for page in pages.values()}), 4)
        self.assertTrue(any("fused" in page for page in pages.values()))

        terminal.press("1", "p")
        time.sleep(0.8)
        held = terminal.screen()
        time.sleep(1)
        self.assertEqual(terminal.screen(), held)
        terminal.press("p")
        wait_for("the screen going on", 10, lambda: terminal.screen() != held)

        for columns, rows in ((40, 10), (20, 5), (200, 60), (80, 24)):
            terminal.resize(columns, rows)
            time.sleep(0.7)
            self.assertIsNone(terminal.ended(), (columns, rows))
            for key in "4321":
                terminal.press(key)
        terminal.shows("serving")
        terminal.press("q")
        wait_for("its end", 10, lambda: terminal.ended() is not None)
        self.assertEqual(terminal.ended(), 0)
        calls.report()

    def test_a_relay_that_goes_away_and_comes_back_is_told(self):
        terminal = self.open(100, 30)
        terminal.shows("serving")
        self.relay.restart()
        terminal.shows("serving", 30)
        self.assertIsNone(terminal.ended())
        terminal.press("C-c")
        wait_for("its end", 10, lambda: terminal.ended() is not None)
        # And the terminal is as it was.
        self.assertEqual(terminal.ended(), 0)
        self.assertNotIn("serving", terminal.screen())

    def test_a_relay_that_hangs_is_told_and_can_be_left(self):
        for key in ("q", "C-c"):
            with self.subTest(key):
                terminal = self.open(90, 24, "--timeout", "1h")
                terminal.shows("PACKETS/S")
                self.relay.process.signal(signal.SIGSTOP)
                try:
                    terminal.shows(r"no answer from sotto-relayd for \d+ s", 20)
                    terminal.press("2")
                    terminal.shows("DROPPED BECAUSE")
                    terminal.press(key)
                    wait_for("its end", 20, lambda: terminal.ended() is not None)
                finally:
                    self.relay.process.signal(signal.SIGCONT)
                self.assertEqual(terminal.ended(), 0)
                self.assertNotIn("serving", terminal.screen())
                terminal.close()

    def test_without_a_relay_it_says_so(self):
        terminal = Terminal(self.lab.path, [BIN / "sottoctl", "--target",
                                            f"unix:{self.lab.path}/nothing.sock", "top"], 90, 24)
        self.addCleanup(terminal.close)
        wait_for("its end", 20, lambda: terminal.ended() is not None)
        self.assertEqual(terminal.ended(), 3)
        # Without the status line there is a line more, and what stood above it.
        said = terminal.tmux("capture-pane", "-p", "-S", "-1").replace("\n", "")
        self.assertIn("nothing.sock", said)


if __name__ == "__main__":
    main()
