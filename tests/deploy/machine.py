# SPDX-License-Identifier: Apache-2.0
"""Clean Debian machines: a root made by debootstrap, commands run in it (Root), packages installed
in it by apt, and copies of it that boot with systemd in a container (Machine). Needs root."""

import contextlib
import ctypes
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
# Debian's own: what the tester's shell has beside it isn't the machine's.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
# Suppressed: a tag that means Debian's own archive.
LINTIAN = ["lintian", "--suppress-tags", "initial-upload-closes-no-bugs"]
SUITES = {"12": "bookworm", "13": "trixie"}


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class MachineError(Exception):
    """What could not be done, in a sentence."""


def run(args, *, timeout=60, check=True, **kwargs):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, **kwargs)
    if check and done.returncode != 0:
        raise MachineError(f"`{' '.join(map(str, args))}` ended with {done.returncode}: "
                           f"{(done.stdout + done.stderr).strip()[-3000:]}")
    return done


def os_release(root=pathlib.Path("/")):
    """The fields of a system's os-release."""
    lines = (root / "etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def host_release():
    """The number of this machine's release of Debian."""
    return os_release()["VERSION_ID"]


def _sources(release):
    """This machine's own sources of Debian, as they are for that release: (URI, suite, component)
    each."""
    here, suite = SUITES[host_release()], SUITES[release]
    done = run(["apt-get", "indextargets",
                "--format", "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)",
                "Created-By: Packages"], timeout=300)
    rows = sorted({tuple(line.split("|")[1:]) for line in done.stdout.splitlines()
                   if line.startswith("Debian|")})
    rows = [(uri, codename.replace(here, suite, 1), component) for uri, codename, component in rows
            if codename.startswith(here)]
    if not any(row[1] == suite for row in rows):
        raise MachineError(f"apt knows no source of {here}; run apt-get update")
    return suite, rows


def _base(folder, release):
    """What debootstrap makes, and nothing more. Kept for the next test, which must not change
    it."""
    suite, sources = _sources(release)
    base = folder / f"base-{suite}"
    if not base.exists():
        shutil.rmtree(folder / "base.part", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        mirror = next(uri for uri, codename, _ in sources if codename == suite)
        run(["debootstrap", "--variant=minbase", suite, folder / "base.part", mirror], timeout=900)
        (folder / "base.part").rename(base)
    return base, sources


def _memory_for_roots():
    """Whether this machine can spare the memory for a root in which all is built."""
    available = re.search(r"(?m)^MemAvailable: +(\d+) kB",
                          pathlib.Path("/proc/meminfo").read_text())
    return int(available[1]) >= 12 << 20


class Root:
    """A minimal Debian of its own, with this machine's network, package sources and trust in
    certificates. Commands run in namespaces for mounts and processes, which end with them."""

    def __init__(self, path):
        self.path = path  # where this process finds it
        self._inside = path  # where it is in the mounts of _holder
        self._holder = None

    @classmethod
    def make(cls, folder, release, name, in_memory=False):
        """Lays it in folder/name, in place of what is there. `in_memory`: if there is enough of it,
        which spares a disk some hundred thousand files; it is gone with this process, however that
        ends."""
        base, sources = _base(folder, release)
        root = cls(folder / name)
        root.remove()
        if in_memory and _memory_for_roots():
            root._hold()
        run(["cp", "-aT", base, root.path])
        etc = root.path / "etc"
        (etc / "apt/sources.list").write_text(
            "".join(f"deb {uri} {codename} {component}\n" for uri, codename, component in sources))
        for settings in pathlib.Path("/etc/apt/apt.conf.d").iterdir():
            if "Acquire::" in settings.read_text():  # proxies, and what mirrors need
                shutil.copy(settings, etc / "apt/apt.conf.d")
        shutil.copy("/etc/resolv.conf", etc / "resolv.conf")
        # Taken into its list of certificates when the package ca-certificates is installed.
        authorities = pathlib.Path("/usr/local/share/ca-certificates")
        if authorities.exists():
            shutil.copytree(authorities, root.path / authorities.relative_to("/"),
                            dirs_exist_ok=True)
        # It runs when the CPUs are idle alone, and a machine isn't up before it has.
        (etc / "systemd/system").mkdir(parents=True, exist_ok=True)
        (etc / "systemd/system/e2scrub_reap.service").symlink_to("/dev/null")
        # Nobody needs this root after the machine has crashed.
        (etc / "dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
        return root

    def _hold(self):
        """A process of its own holds the memory, in mounts that nobody else sees."""
        self._inside.mkdir()
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc",
             'mount -t tmpfs -o size=16g,mode=755 tmpfs "$1"; echo held; exec sleep infinity', "sh",
             self._inside],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            preexec_fn=_die_with_parent)
        if self._holder.stdout.readline() != "held\n":
            raise MachineError(f"there is no tmpfs in {self._inside}")
        self.path = pathlib.Path(f"/proc/{self._holder.pid}/root{self._inside}")

    def remove(self):
        if self._holder:
            self._holder.kill()
            self._holder.wait()
            self._holder.stdout.close()
        if any(line.split()[1].startswith(f"{self._inside}/")
               for line in pathlib.Path("/proc/mounts").read_text().splitlines()):
            raise MachineError(f"something is mounted in {self._inside}; unmount it first")
        shutil.rmtree(self._inside, ignore_errors=True)

    def command(self, args, binds=()):
        """The command on this machine that runs `args` in the root. `binds` are (folder of this
        machine, where it is in the root)."""
        script = ["root=$1; shift", 'mount --bind "$root" "$root"',
                  'mount -t proc proc "$root/proc"',
                  'mount -t sysfs sysfs "$root/sys"', 'mount --rbind /dev "$root/dev"',
                  'mount -t tmpfs tmpfs "$root/run"']
        for here, there in binds:
            there = f'"$root"/{shlex.quote(str(there).lstrip("/"))}'
            script.append(f"mkdir -p {there}; mount --bind {shlex.quote(str(here))} {there}")
        script.append('exec chroot "$root" "$@"')
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt",
                 "--"] if self._holder else []
        return [*enter, "unshare", "--mount", "--propagation", "private",
                "--pid", "--fork", "--kill-child",
                "sh", "-euc", "\n".join(script), "sh", str(self._inside), *map(str, args)]

    def run(self, *args, env=None, binds=(), check=True, timeout=300):
        return run(self.command(args, binds), env={**ENVIRONMENT, **(env or {})}, check=check,
                   timeout=timeout)


def make_root(folder, packages, release):
    """A root with these .deb files installed, and whatever they depend on; nothing more (no
    recommended packages), so that what they don't name is missing."""
    root = Root.make(folder, release, f"root-{SUITES[release]}")
    (root.path / "debs").mkdir()
    for package in packages:
        shutil.copy(package, root.path / "debs")
    root.run("apt-get", "update", "-qq")
    root.run("sh", "-c", "apt-get install -y -qq --no-install-recommends /debs/*.deb", timeout=600)
    return root


class Machine:
    """A copy of a root, booted. Gone, with all that it changed, at the end of the `with` block."""

    def __init__(self, root, prepare=None, state="running"):
        """prepare(machine) writes to machine.root before it boots, to `state` as systemctl calls
        it."""
        self._root = root.path
        self._prepare = prepare
        self._state = state
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _boot(self):
        folder = pathlib.Path(self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="sotto-machine-", dir=self._root.parent)))
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(mode=0o755)
        self.root = folder / "root"
        run(["mount", "-t", "overlay", "overlay", "-o",
             f"lowerdir={self._root},upperdir={folder / 'upper'},workdir={folder / 'work'}",
             self.root])
        self._stack.callback(run, ["umount", self.root])
        if self._prepare:
            self._prepare(self)
        # /sys/module: DPDK looks there, and a container has none.
        log = self._stack.enter_context(open(folder / "console", "wb"))
        self._container = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no",
             "--keep-unit", "--boot", "--directory", self.root,
             "--private-network", "--capability=CAP_SYS_RAWIO,CAP_NET_ADMIN,CAP_BPF,CAP_IPC_LOCK",
             "--system-call-filter=bpf", "--bind=/dev/net/tun", "--bind-ro=/sys/module",
             "--console=pipe"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM))
        self._stack.callback(self._end)
        self._init = self.wait_for("The container's start", self._find_init)
        state = self.wait_for("The container's boot", self._booted, 60)
        if state != self._state:
            failed = self.exec("systemctl", "--failed", "--plain").stdout
            raise MachineError(f"it is {state}: {failed}")

    def _end(self):
        self._container.terminate()  # systemd shuts down in order
        try:
            self._container.wait(20)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()

    def wait_for(self, what, condition, seconds=20):
        end = time.monotonic() + seconds
        while not (value := condition()):
            if self._container.poll() is not None or time.monotonic() > end:
                console = (self.root.parent / "console").read_text()[-2000:]
                raise MachineError(f"{what} did not happen within {seconds} s. {console}")
            time.sleep(0.05)
        return value

    def _find_init(self):
        pid = self._container.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return child

    def _booted(self):
        done = self.exec("systemctl", "is-system-running", check=False)
        return done.stdout.strip() if done.stdout.strip() in ("running", "degraded") else None

    def exec(self, *args, check=True, timeout=60):
        """Runs a command on the machine, as root."""
        return run(["nsenter", "-t", self._init, "-m", "-u", "-i", "-n", "-p", "-C", "--", *args],
                   env=ENVIRONMENT, check=check, timeout=timeout)

    def shell(self, command, **kwargs):
        return self.exec("sh", "-c", command, **kwargs)

    def in_network(self, *args):
        """Runs a program of this host in the machine's network."""
        return run(["nsenter", "-t", self._init, "-n", "--", *args])

    def pid_of(self, unit):
        """Of its main process, as the machine counts; 0 if there is none."""
        return int(self.exec("systemctl", "show", "-P", "MainPID", unit).stdout)

    def journal(self, unit):
        return self.exec("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout
