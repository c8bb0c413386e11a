# SPDX-License-Identifier: Apache-2.0
"""README's two commands on a machine that has nothing: a root made by debootstrap, with the last
commit in it, where deploy/quickstart.sh installs, builds and tells its story. On the release that
isn't this machine's, also the unit tests (tests/run.sh --quick), and packages that packages_test.py
tries.

    SOTTO_RELEASE=13 SOTTO_BUILD=build/release python3 tests/deploy/fresh_root_test.py

Nothing of this machine's is in the root but what it needs to reach package archives, and the folder
of compiled objects, if this machine has a ccache. Needs root, this machine's apt sources and
debootstrap."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from machine import ENVIRONMENT, LINTIAN, Root, host_release, run

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SOTTO_BUILD", SOURCE / "build/release")).resolve()
RELEASE = os.environ.get("SOTTO_RELEASE") or host_release()
CLONE = "/root/sotto"
# Where there is no other trace of it, this is how a machine reaches the archives.
NETWORK = re.compile(r"(?i)^((http|https|ftp|all|no)_proxy|npm_config_.*)$")


def environment():
    """What the root's shell has."""
    env = {name: value for name, value in os.environ.items() if NETWORK.match(name)}
    if shutil.which("npm"):
        env.setdefault("npm_config_registry",
                       run(["npm", "config", "get", "registry"]).stdout.strip())
    return env


def compiled():
    """This machine's compiled objects, as a folder to bind and as the environment that says so."""
    if not shutil.which("ccache"):
        return [], {}
    folder = pathlib.Path(run(["ccache", "--get-config", "cache_dir"]).stdout.strip())
    folder.mkdir(parents=True, exist_ok=True)
    size = run(["ccache", "--get-config", "max_size"]).stdout.strip()
    return [(folder, "/var/cache/ccache")], {"CCACHE_DIR": "/var/cache/ccache",
                                             "CCACHE_MAXSIZE": size}


class FreshRoot(unittest.TestCase):
    """One root; its tests are in the order of what a newcomer does, and each needs those before."""

    @classmethod
    def setUpClass(cls):
        began = time.monotonic()
        folder = BUILD / "deploy-test"
        cls.debs = folder / f"debs-{RELEASE}"
        shutil.rmtree(cls.debs, ignore_errors=True)
        cls.root = Root.make(folder, RELEASE, f"fresh-{RELEASE}", in_memory=True)
        cls.addClassCleanup(cls.root.remove)
        cls.packages_before = cls.installed()
        cls.clone()
        cls.binds, cls.env = compiled()
        cls.env |= environment()
        print(f"Debian {RELEASE}: a root with {len(cls.packages_before)} packages after "
              f"{time.monotonic() - began:.0f} s", flush=True)

    @classmethod
    def clone(cls):
        """Takes the last commit. What is not committed is not what others get."""
        git = ["git", "-c", f"safe.directory={SOURCE}", "-C", str(SOURCE)]
        commit = run([*git, "rev-parse", "--short", "HEAD"]).stdout.strip()
        changed = run([*git, "status", "--porcelain"]).stdout.strip()
        print(f"Commit {commit}" + (f", without these changes:\n{changed}" if changed else ""))
        target = cls.root.path / CLONE.lstrip("/")
        target.mkdir()
        with tempfile.TemporaryFile() as archive:
            subprocess.run([*git, "archive", "HEAD"], stdout=archive, check=True, timeout=60)
            archive.seek(0)
            subprocess.run(["tar", "-x", "-C", target], stdin=archive, check=True, timeout=60)

    @classmethod
    def installed(cls):
        return set(cls.root.run("dpkg-query", "-W", "-f", "${Package}\n").stdout.split())

    def in_clone(self, *command, timeout):
        """Runs it, shows what it prints, and returns that."""
        began = time.monotonic()
        args = self.root.command(["env", "-C", CLONE, *command], self.binds)
        with tempfile.TemporaryFile() as out:
            try:
                code = subprocess.run(args, env={**ENVIRONMENT, **self.env},
                                      stdin=subprocess.DEVNULL,
                                      stdout=out, stderr=subprocess.STDOUT,
                                      timeout=timeout).returncode
            finally:
                out.seek(0)
                text = out.read().decode(errors="replace")
                print(f"$ {' '.join(command)}    # {time.monotonic() - began:.0f} s\n{text}",
                      flush=True)
        self.assertEqual(code, 0, f"{command[0]} ended with {code}")
        return text

    def test_1_the_quickstart_tells_its_story(self):
        said = self.in_clone("deploy/quickstart.sh", timeout=2400)
        for step in ("install", "build", "page"):
            self.assertRegex(said, rf"(?m)^  {step} +done in \d+ s$")
        self.assertIn("bob got through, mallory did not, and nobody saw an address.", said)
        page = self.root.path / CLONE.lstrip("/") / "build/quickstart/web/index.html"
        self.assertTrue(page.exists())
        # It was a machine that had nothing, and it got no more than it needs.
        new = self.installed() - self.packages_before
        self.assertLessEqual({"g++", "cmake", "libdpdk-dev", "npm"}, new)
        self.assertFalse({"libgtest-dev", "libbenchmark-dev", "prometheus", "shellcheck"} & new)

    @unittest.skipIf(RELEASE == host_release(), "tests/run.sh runs them on this machine")
    def test_2_unit_tests_pass(self):
        # The release preset: its objects are those of the quickstart.
        said = self.in_clone("tests/run.sh", "--quick", "--preset", "release", timeout=2400)
        self.assertIn("100% tests passed", said)

    @unittest.skipIf(RELEASE == host_release(), "packages_test.py makes them on this machine")
    def test_3_packages_are_made_and_lintian_finds_nothing(self):
        # Of this very build, which is there already; deploy/packages.sh makes those that are
        # published.
        self.in_clone("deploy/install-deps.sh", "package", timeout=600)
        self.in_clone("env", "-C", "build/release", "cpack", timeout=300)
        made = sorted((self.root.path / CLONE.lstrip("/") / "build/release/packages").glob("*.deb"))
        self.assertEqual([path.name.split("_")[0] for path in made],
                         ["sotto-relayd", "sotto-signald", "sotto-tools"])
        self.in_clone("apt-get", "install", "-y", "-qq", "--no-install-recommends", "lintian",
                      timeout=600)
        said = self.in_clone(*LINTIAN, *(f"build/release/packages/{path.name}" for path in made),
                             timeout=300)
        self.assertEqual(said, "")
        self.debs.mkdir()
        for path in made:
            shutil.copy(path, self.debs)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main(verbosity=2, failfast=True)
