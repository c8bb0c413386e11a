# SPDX-License-Identifier: Apache-2.0
"""What sottoctl prints for packages: completions that shells take, and a clean man page."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOTTOCTL = pathlib.Path(os.environ.get("SOTTO_BIN") or ROOT / "build/dev/bin") / "sottoctl"


def generate(kind):
    return subprocess.run([SOTTOCTL, "generate", kind], check=True, capture_output=True,
                          text=True).stdout


class Bash(unittest.TestCase):
    def complete(self, *words, cwd=None):
        """What bash offers for the last word."""
        script = generate("bash") + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sottoctl\n' \
            'printf "%s\\n" "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "-c", script, "bash", "sottoctl", *words], cwd=cwd,
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("al"), ["allocations"])
        self.assertIn("drain", self.complete(""))
        self.assertNotIn("generate", self.complete(""))
        self.assertEqual(self.complete("allocations", ""), ["list", "show", "end"])
        self.assertEqual(self.complete("accounts", "b"), ["block"])

    def test_options_of_the_command_and_of_all(self):
        offered = self.complete("allocations", "list", "--")
        self.assertIn("--min-age", offered)
        self.assertIn("--target", offered)
        self.assertNotIn("--deadline", offered)
        self.assertNotIn("--min-age", self.complete("drain", "--"))

    def test_values(self):
        self.assertEqual(self.complete("-o", ""), ["table", "json", "yaml"])
        self.assertEqual(self.complete("allocations", "list", "--output", "j"), ["json"])
        self.assertEqual(self.complete("log", "level", ""), ["error", "warning", "info", "debug"])
        self.assertEqual(self.complete("allocations", "list", "--user", ""), [])

    def test_the_value_of_an_option_is_no_command(self):
        self.assertEqual(self.complete("-o", "json", "users", ""), ["add", "remove", "list"])
        self.assertEqual(self.complete("--timeout", "drain", "secrets", ""), ["rotate", "list"])

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "dropped.pcapng").touch()
            self.assertEqual(self.complete("explain", "--pcap", "dr", cwd=folder),
                             ["dropped.pcapng"])
            self.assertEqual(self.complete("config", "check", "dr", cwd=folder),
                             ["dropped.pcapng"])


class Zsh(unittest.TestCase):
    @unittest.skipUnless(shutil.which("zsh"), "there is no zsh here")
    def test_the_functions_load(self):
        done = subprocess.run(["zsh", "-n", "/dev/stdin"], input=generate("zsh"), text=True,
                              capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_every_function_that_is_called_is_there(self):
        text = generate("zsh")
        self.assertTrue(text.startswith("#compdef sottoctl\n"))
        defined = {line[:-4] for line in text.splitlines() if line.endswith("() {")}
        called = {line.split(") ")[1].split(" ")[0] for line in text.splitlines()
                  if line.endswith(" ;;") and ") _sottoctl" in line}
        self.assertEqual(called, defined - {"_sottoctl"})


class ManPage(unittest.TestCase):
    def test_it_is_formatted_without_a_warning(self):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=generate("man"), text=True,
                              capture_output=True, check=True)
        self.assertEqual(done.stderr, "")
        self.assertIn("allocations list", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
