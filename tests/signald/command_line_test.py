# SPDX-License-Identifier: Apache-2.0
"""What sotto-signald says and returns on its command line. Needs no privileges."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import loopback
from lab.certificates import make_key, public_key
from lab.environment import BIN, EXAMPLES
from lab.processes import run


def signald(*args):
    """What it prints and how it ends, which must come by itself."""
    return run([BIN / "sotto-signald", *args], check=False)


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = loopback.Folder()
        self.addCleanup(self.folder.cleanup)

    def check(self, text):
        return signald("--config", self.folder.write(text), "--check-config"
        )

    def assert_refused(self, done, *says):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        for part in says:
            self.assertIn(part, done.stderr)

    def test_good_configuration(self):
        done = self.check(self.folder.config())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"signald\.toml is valid\.\n$")
        self.assertFalse((self.folder.path / "signald.db").exists())

    def test_example_is_valid(self):
        text = (EXAMPLES / "signald.toml").read_text()
        web = self.folder.path / "web"
        web.mkdir()
        (web / "index.html").write_text("<!doctype html>")
        # Its files are where a package puts them; here they are elsewhere.
        for path, here in (("/etc/sotto/", f"{self.folder.path}/"), ("/usr/share/sotto/web", web)):
            self.assertIn(path, text)
            text = text.replace(path, str(here))
        done = self.check(text)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_unknown_key_has_file_line_and_suggestion(self):
        text = self.folder.config().replace("tls_cert =", "tls_crt =")
        line = [l.split(" ")[0] for l in text.split("\n")].index("tls_crt") + 1
        self.assert_refused(
            self.check(text),
            f'signald.toml:{line}: [server] has no key "tls_crt"; did you mean tls_cert?',
        )

    def test_plain_http_is_for_loopback(self):
        text = re.sub(r"tls_.*\n", "", self.folder.config()).replace(
            'listen = ["127.0.0.1:0"]', 'listen = ["0.0.0.0:8080"]\ntls = false'
        )
        self.assert_refused(
            self.check(text),
            "[server] tls: plain HTTP is only for development on loopback addresses",
            "[identity] development: issues any identity to anyone",
        )

    def test_development_anywhere_needs_to_be_said(self):
        text = self.folder.config().replace("127.0.0.1:0", "0.0.0.0:0")
        self.assert_refused(self.check(text), "development_anywhere = true")
        self.assertEqual(
            self.check(
                text.replace("development = true",
                             "development = true\ndevelopment_anywhere = true")
            ).returncode,
            0,
        )

    def test_files_are_checked(self):
        for name, content, says in (
            ("cert.pem", "nonsense", "tls_cert: "),
            ("key.pem", "nonsense", "tls_key: "),
            ("identity.pem", "nonsense", "contains no public key"),
            ("identity.pem", (self.folder.path / "operator.pem").read_text(), "a private key"),
        ):
            path = self.folder.path / name
            before = path.read_text()
            path.write_text(content)
            with self.subTest(name):
                done = self.check(self.folder.config())
                self.assert_refused(done, says)
                self.assertEqual(len(done.stderr.splitlines()), 1)
            path.write_text(before)

    def test_key_of_another_certificate_is_refused(self):
        certificate = (self.folder.path / "cert.pem").read_text()
        self.folder.make_certificate()
        (self.folder.path / "cert.pem").write_text(certificate)
        self.assert_refused(self.check(self.folder.config()), "tls_key: ", "mismatch")

    def test_weak_and_foreign_identity_keys_are_refused(self):
        for algorithm, option, says in (
            ("RSA", "rsa_keygen_bits:1024", "is an RSA key of 1024 bits"),
            ("EC", "ec_paramgen_curve:P-384", "not on P-256"),
            ("EC", "ec_paramgen_curve:secp256k1", "not on P-256"),
        ):
            key = self.folder.path / "weak.pem"
            make_key(key, algorithm, option)
            (self.folder.path / "identity.pem").write_text(public_key(key))
            with self.subTest(option):
                self.assert_refused(self.check(self.folder.config()), says)

    def test_missing_file(self):
        done = signald("--config", "/nonexistent.toml")
        self.assert_refused(done, "/nonexistent.toml can't be opened")
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_readable_by_others_is_a_warning(self):
        path = self.folder.write(self.folder.config())
        path.chmod(0o644)
        done = signald("--config", path, "--check-config")
        self.assertEqual(done.returncode, 0)
        self.assertIn("chmod o-r", done.stderr)

    def test_no_configuration(self):
        self.assert_refused(signald(), "Name the configuration file")

    def test_help_and_version(self):
        done = signald("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("--config", "--check-config", "--version", "--print-config-reference"):
            self.assertIn(option, done.stdout)
        done = signald("--version")
        self.assertRegex(done.stdout, r"^sotto-signald \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
