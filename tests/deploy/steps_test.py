# SPDX-License-Identifier: Apache-2.0
"""deploy/steps.sh: what a script's steps show while they run, on a terminal and elsewhere."""

import os
import pathlib
import pty
import re
import signal
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
set -euo pipefail
steps_log=$1
exec 3>&1
. %s/deploy/steps.sh
steps_every=0.2
build() { for i in 1 2 3 4; do echo "[$i/4] Building"; sleep 0.8; done; }
breaks() { echo "[1/2] Building"; echo "a.cc:1: error: no"; return 3; }
waits() { sleep 60; }
""" % SOURCE


class Steps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sotto-steps-")
        self.addCleanup(folder.cleanup)
        self.log = pathlib.Path(folder.name) / "log"
        self.log.write_text("[9/9] of an earlier step\n")

    def bash(self, commands):
        return ["bash", "-c", SCRIPT + commands, "steps", self.log]

    def run_script(self, commands):
        return subprocess.run(self.bash(commands), capture_output=True, text=True, timeout=30)

    def test_a_line_now_and_then_where_there_is_no_terminal(self):
        done = self.run_script("step build build; step short true; echo after")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        percents = [int(found[1]) for line in lines
                    if (found := re.fullmatch(r"  build       (\d+) %, \d+ s so far", line))]
        self.assertGreaterEqual(len(percents), 2, lines)
        self.assertEqual(percents, sorted(percents))
        self.assertLess(percents[0], percents[-1])
        self.assertRegex(lines[-3], r"^  build       done in \d+ s$")
        self.assertRegex(lines[-2], r"^  short       done in \d+ s$")
        self.assertEqual(lines[-1], "after")
        self.assertNotIn("\r", done.stdout)
        self.assertEqual(self.log.read_text().count("Building"), 4)

    def test_one_line_that_is_rewritten_on_a_terminal(self):
        ours, theirs = pty.openpty()
        args = self.bash("build() { echo '[3/4] Building'; sleep 2.5; }; step build build")
        process = subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += data
        os.close(ours)
        self.assertEqual(process.wait(), 0)
        text = shown.decode()
        self.assertEqual(text.count("\n"), 1, text)
        self.assertRegex(text, r"\r  build       75 %, [12] s +\r")
        self.assertRegex(text, r"\r  build       done in \d s *\r\n$")

    def test_the_percentage_is_that_of_this_step(self):
        done = self.run_script("step build sleep 0.7")
        self.assertRegex(done.stdout,
                         r"^(  build       \d s so far\n)+  build       done in \d s\n$")

    def test_a_step_that_fails_shows_its_last_lines_and_ends_the_script(self):
        done = self.run_script("step build breaks; echo after")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"^  build       failed after \d s\n$")
        self.assertIn("a.cc:1: error: no\n", done.stderr)
        self.assertIn(f"steps: 'build' failed; the whole log is {self.log}\n", done.stderr)

    def test_nothing_stays_when_the_script_is_interrupted(self):
        args = self.bash("steps_every=60; step build waits")
        process = subprocess.Popen(args, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        self.assertEqual(process.wait(10), -signal.SIGINT)
        end = time.monotonic() + 5
        while time.monotonic() < end and self.in_group(process.pid):
            time.sleep(0.05)
        self.assertEqual(self.in_group(process.pid), [])

    @staticmethod
    def in_group(group):
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                text = path.read_text()
            except OSError:
                continue  # it has ended
            if int(text.rpartition(")")[2].split()[2]) == group:
                found.append(text)
        return found


if __name__ == "__main__":
    unittest.main(verbosity=2)
