# SPDX-License-Identifier: Apache-2.0
"""What sotto-relayd says and returns on its command line. Needs no privileges."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.daemons import Folder
from lab.environment import BIN, EXAMPLES
from lab.processes import run
from minimal import config


def relayd(*args):
    """What it prints and how it ends, which must come by itself."""
    return run([BIN / "sotto-relayd", *args], check=False)


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = Folder("relayd.toml")
        self.addCleanup(self.folder.cleanup)

    def check(self, text):
        return relayd("--config", self.folder.write(text), "--check-config"
        )

    def assert_refused(self, done, *says):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        for part in says:
            self.assertIn(part, done.stderr)

    def test_good_configuration(self):
        done = self.check(config("net_null0"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"relayd\.toml is valid\.\n$")

    def test_every_example_is_valid(self):
        examples = sorted(set(EXAMPLES.glob("*.toml")) - set(EXAMPLES.glob("signald*")))
        self.assertGreaterEqual(len(examples), 6)
        for example in examples:
            with self.subTest(example.name):
                done = self.check(example.read_text())
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_unknown_key_has_file_line_and_suggestion(self):
        text = config("net_null0").replace("realm =", "relm =")
        line = text.split("\n").index('relm = "example.org"') + 1
        self.assert_refused(
            self.check(text), f"relayd.toml:{line}: [turn] has no key \"relm\"; did you mean realm?"
        )

    def test_short_secret_is_refused_and_not_shown(self):
        done = self.check(config("net_null0").replace("a-long-secret", "shhh"))
        self.assert_refused(done, "[turn.auth] users: the password of \"demo\" is too short")
        self.assertNotIn("shhh", done.stderr)

    def test_each_error_is_one_line(self):
        text = config("net_null0", workers=0).replace("realm =", "relm =")
        done = self.check(text)
        self.assert_refused(done, "workers: 0 is out of range", "\"relm\"", "realm is missing")
        self.assertEqual(len(done.stderr.splitlines()), 3)

    def test_missing_file(self):
        done = relayd("--config", "/nonexistent.toml")
        self.assert_refused(done, "/nonexistent.toml can't be opened")
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_readable_by_others_is_a_warning(self):
        path = self.folder.write(config("net_null0"))
        path.chmod(0o644)
        done = relayd("--config", path, "--check-config")
        self.assertEqual(done.returncode, 0)
        self.assertIn("chmod o-r", done.stderr)

    def test_no_configuration(self):
        self.assert_refused(relayd(), "Name the configuration file")

    def test_unknown_option(self):
        done = relayd("--nonsense")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--nonsense", done.stderr)

    def test_help_and_version(self):
        done = relayd("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("--config", "--check-config", "--version", "--print-config-reference"):
            self.assertIn(option, done.stdout)
        done = relayd("--version")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(re.fullmatch(r"sotto-relayd \d+\.\d+\.\d+\n", done.stdout), done.stdout)

    def test_reference_has_every_section(self):
        done = relayd("--print-config-reference")
        self.assertEqual(done.returncode, 0)
        sections = re.findall(r"^### `(.*)`$", done.stdout, re.MULTILINE)
        for section in ("[dataplane]", "[[interface]]", "[turn]", "[turn.auth]", "[log]"):
            self.assertIn(section, sections)
        self.assertEqual(len(sections), len(set(sections)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
