"""Clean Debian machines to install packages on: a root made by debootstrap, packages installed in it by
apt, and copies of it that boot with systemd in a container. Needs root."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
# Debian's own: what the tester's shell has beside it isn't the machine's.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive"}


class MachineError(Exception):
    """What could not be done, in a sentence."""


def run(args, *, timeout=60, check=True, **kwargs):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, **kwargs)
    if check and done.returncode != 0:
        raise MachineError(f"`{' '.join(map(str, args))}` ended with {done.returncode}: "
                           f"{(done.stdout + done.stderr).strip()[-3000:]}")
    return done


def _sources():
    """This machine's own sources of its release of Debian: (URI, suite, component) each."""
    release = dict(line.split("=", 1) for line in
                   pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release["VERSION_CODENAME"]
    done = run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)",
                "Created-By: Packages"])
    rows = sorted({tuple(line.split("|")[1:]) for line in done.stdout.splitlines()
                   if line.startswith("Debian|")})
    rows = [row for row in rows if row[1].startswith(suite)]
    if not any(row[1] == suite for row in rows):
        raise MachineError(f"apt knows no source of {suite}; run apt-get update")
    return suite, rows


@contextlib.contextmanager
def _proc(root):
    run(["mount", "-t", "proc", "proc", root / "proc"])
    try:
        yield
    finally:
        run(["umount", root / "proc"])


def in_root(root, *args, check=True, timeout=300):
    """Runs a command in a root that isn't booted."""
    with _proc(root):
        return run(["chroot", root, *args], env=ENVIRONMENT, check=check, timeout=timeout)


def make_root(folder, packages):
    """A minimal Debian with these .deb files installed, and whatever they depend on; nothing more
    (no recommended packages), so that what they don't name is missing."""
    suite, sources = _sources()
    base = folder / f"base-{suite}"
    if not base.exists():  # kept for the next run
        shutil.rmtree(folder / "base.part", ignore_errors=True)
        mirror = next(uri for uri, codename, _ in sources if codename == suite)
        run(["debootstrap", "--variant=minbase", suite, folder / "base.part", mirror], timeout=900)
        (folder / "base.part").rename(base)
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    run(["cp", "-a", base, root])
    (root / "etc/apt/sources.list").write_text(
        "".join(f"deb {uri} {codename} {component}\n" for uri, codename, component in sources))
    for settings in pathlib.Path("/etc/apt/apt.conf.d").iterdir():
        if "Acquire::" in settings.read_text():  # proxies, and what mirrors need
            shutil.copy(settings, root / "etc/apt/apt.conf.d")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    (root / "debs").mkdir()
    for package in packages:
        shutil.copy(package, root / "debs")
    in_root(root, "apt-get", "update", "-qq", timeout=300)
    in_root(root, "sh", "-c", "apt-get install -y -qq --no-install-recommends /debs/*.deb", timeout=600)
    return root


class Machine:
    """A copy of a root, booted. Gone, with all that it changed, at the end of the `with` block."""

    def __init__(self, root, prepare=None, state="running"):
        """prepare(machine) writes to machine.root before it boots, to `state` as systemctl calls it."""
        self._root = root
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
             f"lowerdir={self._root},upperdir={folder / 'upper'},workdir={folder / 'work'}", self.root])
        self._stack.callback(run, ["umount", self.root])
        if self._prepare:
            self._prepare(self)
        # /sys/module: DPDK looks there, and a container has none.
        log = self._stack.enter_context(open(folder / "console", "wb"))
        self._container = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--directory", self.root,
             "--private-network", "--capability=CAP_SYS_RAWIO,CAP_NET_ADMIN,CAP_BPF,CAP_IPC_LOCK",
             "--system-call-filter=bpf", "--bind=/dev/net/tun", "--bind-ro=/sys/module", "--console=pipe"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM))
        self._stack.callback(self._end)
        self._init = self.wait_for("The container's start", self._find_init)
        state = self.wait_for("The container's boot", self._booted, 60)
        if state != self._state:
            raise MachineError(f"it is {state}: {self.exec('systemctl', '--failed', '--plain').stdout}")

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
