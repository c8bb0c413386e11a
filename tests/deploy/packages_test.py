# SPDX-License-Identifier: Apache-2.0
"""The Debian packages on a clean Debian: what they install, that they name all that they need, how
the services run under systemd with all their restrictions, and what is left after removal.

    SOTTO_BUILD=build/release python3 tests/deploy/packages_test.py
    SOTTO_DEBS=FOLDER   tries these packages instead of making some from the build tree
    SOTTO_RELEASE=13    they are for this release of Debian (that of this machine unless told)

Needs root, this machine's apt sources, debootstrap, systemd-nspawn and lintian."""

import json
import os
import pathlib
import re
import shutil
import stat
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import machine
from lab.certificates import make_certificate, public_key
from machine import Machine, host_release, run

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SOTTO_BUILD", SOURCE / "build/release")).resolve()
RELEASE = os.environ.get("SOTTO_RELEASE") or host_release()
DAEMONS = {"sotto-relayd": "sotto", "sotto-signald": "sotto-signald"}
# What systemd-analyze says of the units, from 0 (locked in) to 10. The relay's capabilities are
# what opens NICs, taps and XDP programs; it drops them itself, which this figure doesn't know.
EXPOSURE = {"sotto-relayd": 3.1, "sotto-signald": 1.6}


def setUpModule():
    global ROOT, DEBS
    folder = BUILD / "deploy-test"
    folder.mkdir(parents=True, exist_ok=True)
    if "SOTTO_DEBS" in os.environ:
        found = sorted(pathlib.Path(os.environ["SOTTO_DEBS"]).glob("*.deb"))
    else:
        shutil.rmtree(folder / "debs", ignore_errors=True)
        run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder / "debs"], cwd=BUILD,
            timeout=300)
        found = sorted((folder / "debs").glob("*.deb"))
    DEBS = {path.name.split("_")[0]: path for path in found}
    if set(DEBS) != {*DAEMONS, "sotto-tools"}:
        raise machine.MachineError(f"there are the packages {[str(path) for path in found]}")
    ROOT = machine.make_root(folder, DEBS.values(), RELEASE)


def example(name):
    return (ROOT.path / "usr/share/doc/sotto-relayd/examples" / name).read_text()


def for_admins(text):
    return re.sub(r'(?m)^socket = .*', '\\g<0>\ngroup = "sotto-admin"', text)


def configure(path, text):
    """Writes a configuration as an operator would: readable by all, which the package then
    mends."""
    def prepare(it):
        target = it.root / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
    return prepare


class Installed(unittest.TestCase):
    """The packages' files in a root that isn't booted."""

    def owners(self, package):
        listing = run(["dpkg-deb", "-c", DEBS[package]]).stdout.splitlines()
        return {line.split()[5]: (line.split()[0], line.split()[1]) for line in listing}

    def test_files_are_roots_and_nobody_elses(self):
        for package in DEBS:
            for path, (mode, owner) in self.owners(package).items():
                with self.subTest(path):
                    self.assertEqual(owner, "root/root")
                    self.assertRegex(mode, r"^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--)$")
                    self.assertTrue(path.startswith("./usr/"), "nothing goes to /etc or /var")

    def test_users_and_folders(self):
        passwd = dict(line.split(":", 1)
                      for line in (ROOT.path / "etc/passwd").read_text().splitlines())
        group = {line.split(":")[0]: line.split(":")[3]
                 for line in (ROOT.path / "etc/group").read_text().splitlines()}
        for user in DAEMONS.values():
            self.assertTrue(passwd[user].endswith(":/:/usr/sbin/nologin"), passwd[user])
        self.assertEqual(set(group["sotto-admin"].split(",")), set(DAEMONS.values()))
        self.assertEqual(stat.S_IMODE((ROOT.path / "etc/sotto").stat().st_mode), 0o755)

    def test_every_program_runs_with_what_the_packages_depend_on(self):
        for program in ("sotto-relayd", "sotto-signald", "sottoctl", "sotto-loadgen",
                        "sotto-phone"):
            with self.subTest(program):
                libraries = ROOT.run("ldd", f"/usr/bin/{program}").stdout
                self.assertNotIn("not found", libraries)
                ROOT.run(f"/usr/bin/{program}", "--help")
        for daemon in DAEMONS:
            self.assertRegex(ROOT.run(daemon, "--version").stdout, rf"^{daemon} \d+\.\d+\.\d+\n$")

    def test_version_names_the_cpu_that_it_needs(self):
        version = run(["dpkg-deb", "-f", DEBS["sotto-relayd"], "Version"]).stdout.strip()
        code = run(["objdump", "-d", "--no-show-raw-insn", ROOT.path / "usr/bin/sotto-relayd"],
                   timeout=120).stdout
        beyond = re.search(r"%[yz]mm\d", code) is not None
        self.assertEqual(version.endswith("+native-1"), beyond, version)

    def test_every_example_is_valid(self):
        checked = 0
        for daemon in DAEMONS:
            for path in sorted((ROOT.path / f"usr/share/doc/{daemon}/examples").glob("*.toml")):
                with self.subTest(path.name):
                    text = path.read_text()
                    target = ROOT.path / "root" / path.name
                    target.write_text(self.with_files(text))
                    target.chmod(0o600)
                    done = ROOT.run(daemon, "--config", f"/root/{path.name}", "--check-config",
                                   check=False)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    checked += 1
        self.assertGreaterEqual(checked, 9)

    @staticmethod
    def with_files(text):
        """With the certificate and the keys that signald.toml names."""
        if "/etc/sotto/cert.pem" not in text:
            return text
        folder = ROOT.path / "root/keys"
        folder.mkdir(exist_ok=True)
        make_certificate(folder / "cert.pem", folder / "key.pem", "test")
        (folder / "identity.pem").write_text(public_key(folder / "key.pem"))
        return text.replace("/etc/sotto/", "/root/keys/")

    def test_tools_have_pages_and_completions(self):
        for path in ("man/man1/sottoctl.1.gz", "man/man8/sotto-relayd.8.gz",
                     "man/man8/sotto-signald.8.gz",
                     "bash-completion/completions/sottoctl", "zsh/vendor-completions/_sottoctl"):
            self.assertGreater((ROOT.path / "usr/share" / path).stat().st_size, 300, path)
        completions = ROOT.path / "usr/share/bash-completion/completions/sottoctl"
        run(["bash", "-c", f". {completions} && complete -p sottoctl"])

    def test_units_are_valid(self):
        for daemon in DAEMONS:
            done = run(["systemd-analyze", "verify", "--man=no", f"--root={ROOT.path}",
                        f"{daemon}.service"])
            self.assertNotIn(daemon, done.stderr)

    def test_units_are_locked_in(self):
        for daemon, bound in EXPOSURE.items():
            done = run(["systemd-analyze", "security", "--offline=yes", f"--root={ROOT.path}",
                        f"--threshold={bound * 10:.0f}", f"{daemon}.service"], check=False)
            overall = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
            self.assertIsNotNone(overall, done.stdout + done.stderr)
            print(f"{daemon}: exposure {overall[1]}", file=sys.stderr)
            self.assertLessEqual(float(overall[1]), bound)

    @unittest.skipUnless(RELEASE == host_release(), "that release's lintian: fresh_root_test.py")
    def test_lintian_finds_nothing(self):
        done = run([*machine.LINTIAN, *DEBS.values()], check=False, timeout=300)
        self.assertEqual(done.stdout, "")


class Services(unittest.TestCase):
    """The services under systemd, on a machine of their own each."""

    def test_without_a_configuration_nothing_starts(self):
        with Machine(ROOT) as it:
            for daemon in DAEMONS:
                self.assertEqual(it.exec("systemctl", "is-enabled", daemon).stdout, "enabled\n")
                it.exec("systemctl", "start", daemon)  # no error either
                self.assertEqual(it.pid_of(daemon), 0)
            self.assertEqual(it.shell("stat -c '%a %U %G' /run/sotto").stdout,
                             "1775 root sotto-admin\n")

    def test_relay_serves_calls_without_privileges(self):
        with Machine(ROOT, configure("etc/sotto/relayd.toml",
                                     for_admins(example("development.toml")))) as it:
            pid = it.pid_of("sotto-relayd")
            self.assertGreater(pid, 0, it.journal("sotto-relayd"))
            status = it.shell(f"cat /proc/{pid}/task/*/status").stdout
            self.assertEqual(set(re.findall(r"^CapEff:\s*(\w+)$", status, re.M)), {"0" * 16})
            # Its memory, which holds secrets, is closed to others of its user.
            self.assertEqual(it.shell(f"stat -c %U /proc/{pid}/maps").stdout, "root\n")
            self.assertEqual(it.shell(f"awk '/^Uid/ {{ print $2 }}' /proc/{pid}/status").stdout,
                             it.shell("id -u sotto").stdout)
            # Secrets are readable by the service alone.
            self.assertEqual(it.shell("stat -c '%a %U %G' /etc/sotto/relayd.toml").stdout,
                             "640 root sotto\n")
            self.assertEqual(it.shell("stat -c '%a %U %G' /run/sotto/relayd.sock").stdout,
                             "660 sotto sotto-admin\n")

            it.exec("systemctl", "reload", "sotto-relayd")
            self.assertEqual(it.pid_of("sotto-relayd"), pid)
            it.wait_for("The reload",
                        lambda: "Reloaded the configuration" in it.journal("sotto-relayd"))
            self.assertIn("serving", it.exec("sottoctl", "status").stdout)
            it.shell("useradd -M stranger && useradd -M -G sotto-admin alice")
            as_user = "setpriv --reuid {0} --regid {0} --init-groups sottoctl status"
            self.assertIn("serving", it.shell(as_user.format("alice")).stdout)
            self.assertNotEqual(it.shell(as_user.format("stranger"), check=False).returncode, 0)

            self.assert_calls(it, "sotto0")

    def assert_calls(self, it, host_side):
        """Two-party calls between programs of the machine's kernel, through the relay's port."""
        it.in_network("ip", "address", "add", "192.0.2.1/24", "dev", host_side)
        it.in_network("ethtool", "-K", host_side, "tx", "off")
        done = it.shell("sotto-loadgen calls --server 192.0.2.10:3478 --user demo "
                        "--password a-long-secret --calls 5 --pps 500 --seconds 1 --max-loss 1 "
                        "--json")
        self.assertGreater(json.loads(done.stdout)["received"], 100, done.stdout)

    def test_kernel_interfaces_work_under_the_units_restrictions(self):
        for driver in ("net_af_packet", "net_af_xdp"):
            with self.subTest(driver), Machine(ROOT) as it:
                it.in_network("ip", "link", "add", "relay0", "type", "veth", "peer", "name",
                              "host0")
                for link in ("relay0", "host0"):
                    it.in_network("ip", "link", "set", link, "up")
                text = example("development.toml").replace("net_tap0,iface=sotto0",
                                                           f"{driver}0,iface=relay0")
                text = text.replace('port = "net_tap0"',
                                    f'port = "{driver}0"\nmac = "02:00:00:00:00:10"')
                configure("etc/sotto/relayd.toml", text)(it)
                it.shell("mount -t bpf bpf /sys/fs/bpf; systemd-tmpfiles --create")
                it.exec("systemctl", "start", "sotto-relayd")
                self.assert_calls(it, "host0")
                it.exec("systemctl", "stop", "sotto-relayd")
                self.assertNotIn("xdp", it.in_network("ip", "link", "show", "relay0").stdout)
                self.assertIn("The relay is stopping", it.journal("sotto-relayd"))

    def test_a_bad_configuration_is_said_once(self):
        with Machine(ROOT, configure("etc/sotto/relayd.toml", "nonsense = 1\n"), "degraded") as it:
            self.assertEqual(it.exec("systemctl", "is-failed", "sotto-relayd").stdout, "failed\n")
            self.assertEqual(it.exec("systemctl", "show", "-P", "NRestarts", "sotto-relayd").stdout,
                             "0\n")
            self.assertIn('relayd.toml:1: unknown section or key "nonsense"',
                          it.journal("sotto-relayd"))

    def test_signaling_serves_the_page_and_keeps_its_store_to_itself(self):
        examples = ROOT.path / "usr/share/doc/sotto-signald/examples"
        text = (examples / "signald-development.toml").read_text()
        with Machine(ROOT, configure("etc/sotto/signald.toml", for_admins(text))) as it:
            pid = it.pid_of("sotto-signald")
            self.assertGreater(pid, 0, it.journal("sotto-signald"))
            self.assertEqual(it.shell(f"awk '/^Uid/ {{ print $2 }}' /proc/{pid}/status").stdout,
                             it.shell("id -u sotto-signald").stdout)
            page = it.in_network(
                sys.executable, "-c",
                "import urllib.request as u; "
                "print(u.urlopen('http://127.0.0.1:8080/').read().decode())")
            self.assertIn("<script", page.stdout)
            self.assertEqual(it.shell("stat -c '%a %U %G' /run/sotto/signald.sock").stdout,
                             "660 sotto-signald sotto-admin\n")
            self.assertEqual(it.shell("stat -c '%a %U' /var/lib/sotto-signald").stdout,
                             "700 sotto-signald\n")
            self.assertEqual(
                it.shell("stat -c '%a %U' /var/lib/sotto-signald/development.db.key").stdout,
                "600 sotto-signald\n")

    def newer(self, folder, package):
        """The same package under a higher version."""
        unpacked = folder / "newer"
        run(["dpkg-deb", "-R", DEBS[package], unpacked])
        control = unpacked / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99-1", control.read_text()))
        run(["dpkg-deb", "-b", unpacked, folder / f"{package}_99.deb"])

    def test_upgrade_restarts_what_runs_and_removal_keeps_what_purge_takes(self):
        def prepare(it):
            configure("etc/sotto/relayd.toml", example("development.toml"))(it)
            self.newer(it.root / "debs", "sotto-relayd")

        with Machine(ROOT, prepare) as it:
            before = it.pid_of("sotto-relayd")
            self.assertGreater(before, 0, it.journal("sotto-relayd"))
            it.exec("dpkg", "-i", "/debs/sotto-relayd_99.deb", timeout=120)
            after = it.pid_of("sotto-relayd")
            self.assertGreater(after, 0)
            self.assertNotEqual(after, before)
            self.assertIn("The relay is ready", it.journal("sotto-relayd"))

            # Whom an operator stopped, an upgrade doesn't start.
            it.exec("systemctl", "stop", "sotto-relayd")
            it.exec("dpkg", "-i", "/debs/sotto-relayd_99.deb", timeout=120)
            self.assertEqual(it.pid_of("sotto-relayd"), 0)
            it.exec("systemctl", "start", "sotto-relayd")

            it.shell("touch /var/lib/sotto/relayd.auth.toml")
            it.exec("dpkg", "--remove", "sotto-relayd", timeout=120)
            self.assertNotEqual(it.exec("systemctl", "is-active", "sotto-relayd",
                                        check=False).stdout,
                                "active\n")
            it.shell("test -e /var/lib/sotto/relayd.auth.toml && test -e /etc/sotto/relayd.toml")

            it.exec("dpkg", "--purge", *DEBS, timeout=120)
            left = it.shell("find / -xdev -ipath '*sotto*' -not -path '/debs/*' "
                            "-not -path '/proc/*' -not -path '/sys/*' -not -path '/tmp/*' "
                            "-not -path '/var/log/*' -print")
            self.assertEqual(left.stdout, "")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main(verbosity=2)
