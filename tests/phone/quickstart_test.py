# SPDX-License-Identifier: Apache-2.0
"""deploy/quickstart.sh, from the point where all is built: the story, --keep and --stop."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import BIN, ROOT
from lab.test_case import main


def quickstart(*flags):
    return subprocess.run(
        [sys.executable, "-B", ROOT / "deploy/quickstart_call.py", *flags], capture_output=True,
        text=True, timeout=240, env={**os.environ, "SOTTO_BIN": str(BIN)})


class Quickstart(unittest.TestCase):
    def test_tells_the_story_in_data(self):
        done = quickstart("--json")
        self.assertEqual(done.returncode, 0, done)
        story = json.loads(done.stdout)
        self.assertTrue(story["ok"], story)
        call, stranger = story["call"], story["stranger"]
        self.assertEqual(call["packets"]["received"], call["packets"]["sent"])
        self.assertTrue(call["private"])
        self.assertTrue(stranger["same"])
        self.assertEqual(stranger["notice"],
                         {"bytes": 144, "kind": "silenced", "caller": "mallory", "count": 1})

    def test_keeps_all_on_until_it_is_stopped(self):
        kept = quickstart("--keep")
        try:
            self.assertEqual(kept.returncode, 0, kept)
            self.assertIn("It is still running.", kept.stdout)
        finally:
            stopped = quickstart("--stop")
        self.assertEqual(stopped.returncode, 0, stopped)
        self.assertNotIn("quickstart-", subprocess.run(
            ["ip", "netns", "list"], capture_output=True, text=True).stdout)
        again = quickstart("--stop")
        self.assertEqual(again.returncode, 1)
        self.assertIn("nothing is running", again.stderr)


if __name__ == "__main__":
    main()
