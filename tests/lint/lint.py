#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the sources for what a compiler doesn't: run it before each commit.

    tests/lint/lint.py                  all checks; clang-tidy on what this branch changes
    tests/lint/lint.py --all            all checks; clang-tidy on every C++ file, which takes hours
    tests/lint/lint.py CHECK...         these checks alone

checks:
    format   C++ is as clang-format leaves it (.clang-format)
    shell    shellcheck finds nothing in shell scripts
    python   pyflakes finds nothing in Python
    lines    an SPDX line in each source file, 100 columns in CMake, Python and shell, no white
             space at the ends of lines
    tidy     clang-tidy finds nothing (.clang-tidy); needs a configured and built tree

Exit code: 0 all is well; 1 something is to be mended; 2 wrong usage; 77 a program is missing and
everything else is well (with --strict, or CI in the environment: 1).
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import tidy

# The release of LLVM whose clang-format and clang-tidy count: Debian 12's. Another one formats
# differently and finds other things, so on another release of Debian neither is run.
LLVM = "14"
LLVM_DEBIAN = "12"

SPDX = "SPDX-License-Identifier: Apache-2.0"
COLUMNS = 100
# A sentence stays in one piece, so that it can be found: a line may be longer for a string this
# long.
LONG_STRING = re.compile(r"(\"[^\"]{60,}|'[^']{60,}')")
# Inputs and expected outputs of tests: bytes that mean something.
DATA = re.compile(r"^tests/fuzz/corpus/|(^|/)testdata/|^tests/fixtures/packets\.txt$|\.sdp$")
# Files that another program writes.
GENERATED = re.compile(r"(^|/)package-lock\.json$|\.svg$")


class Missing(Exception):
    """A program that isn't installed; says which package has it."""


class Elsewhere(Exception):
    """A check that only counts on another release of Debian; says so."""


def program(name, package):
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is missing; Debian's package {package} has it")
    return found


def llvm_program(name):
    """clang-format or clang-tidy of the release of LLVM that counts."""
    for candidate in (f"{name}-{LLVM}", name):
        found = shutil.which(candidate)
        if found:
            version = subprocess.run([found, "--version"], stdout=subprocess.PIPE, text=True,
                                     check=True).stdout
            if re.search(rf"version {LLVM}\.", version):
                return found
    release = os_release()
    if release.get("ID") == "debian" and release.get("VERSION_ID") == LLVM_DEBIAN:
        raise Missing(f"{name}-{LLVM} is missing; Debian's package {name} has it")
    raise Elsewhere(f"not checked here: {name} {LLVM} of Debian {LLVM_DEBIAN} decides, and other "
                    "versions differ from it")


def os_release():
    path = pathlib.Path("/etc/os-release")
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


class Tree:
    """The files that git knows or would take, by their paths from the root."""

    def __init__(self, root):
        self.root = root
        listed = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        found = (path for path in sorted(set(listed.split("\0"))) if path)
        self.files = [path for path in found if self.is_text(path)]

    def git(self, *arguments, check=True):
        """What git prints. CI may run as another user than the tree's owner."""
        command = [program("git", "git"), "-c", f"safe.directory={self.root}", "-C", str(self.root),
                   *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if check and done.returncode != 0:
            sys.exit(f"lint.py: git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def is_text(self, path):
        file = self.root / path
        if file.is_symlink() or not file.is_file() or DATA.search(path) or GENERATED.search(path):
            return False
        return b"\0" not in file.read_bytes()[:8000]

    def lines(self, path):
        return (self.root / path).read_text(encoding="utf-8").split("\n")

    def first_line(self, path):
        with open(self.root / path, "rb") as file:
            return file.readline()

    def with_suffix(self, *suffixes):
        return [path for path in self.files if path.endswith(suffixes)]

    def cpp(self):
        return self.with_suffix(".cc", ".h")

    def shell(self):
        return [path for path in self.files
                if path.endswith(".sh") or re.match(rb"#!.*\b(ba)?sh\b", self.first_line(path))]

    def python(self):
        return [path for path in self.files
                if path.endswith(".py") or re.match(rb"#!.*\bpython3?\b", self.first_line(path))]

    def cmake(self):
        return self.with_suffix("CMakeLists.txt", ".cmake")


def run(tree, command):
    """What the command printed, or nothing if it was content."""
    done = subprocess.run(command, cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode == 0:
        return []
    return done.stdout.strip().split("\n")


def check_format(tree, _):
    formatter = llvm_program("clang-format")
    files = tree.cpp()
    parts = [files[start::os.cpu_count()] for start in range(os.cpu_count())]
    with ThreadPoolExecutor() as pool:
        printed = pool.map(lambda part: run(tree, [formatter, "--dry-run", "--Werror", *part]),
                           [part for part in parts if part])
        found = [line for lines in printed for line in lines]
    places = sorted({line.split(" error: ")[0] for line in found if " error: " in line})
    if found and not places:
        return found
    wrong = sorted({place.split(":")[0] for place in places})
    return places + ([f"to mend it: {formatter} -i {' '.join(wrong)}"] if wrong else [])


def check_shell(tree, _):
    return run(tree, [program("shellcheck", "shellcheck"), "--external-sources", "--format=gcc",
                      *tree.shell()])


def check_python(tree, _):
    return run(tree, [program("pyflakes3", "pyflakes3"), *tree.python()])


def check_lines(tree, _):
    found = []
    narrow = {*tree.cmake(), *tree.python(), *tree.shell()}
    licensed = {*narrow, *tree.with_suffix(".cc", ".h", ".proto", ".ts", ".tsx", ".css", ".html")}
    for path in tree.files:
        lines = tree.lines(path)
        if path in licensed and not any(SPDX in line for line in lines[:3]):
            found.append(f"{path}:1: no line with \"{SPDX}\" among the first three")
        for number, line in enumerate(lines, 1):
            if path in narrow and len(line) > COLUMNS and not LONG_STRING.search(line):
                found.append(f"{path}:{number}: {len(line)} columns; {COLUMNS} are the most")
            if line != line.rstrip():
                found.append(f"{path}:{number}: white space at the end of the line")
        if lines[-1] != "":
            found.append(f"{path}:{len(lines)}: the last line doesn't end")
    return found


def check_tidy(tree, options):
    return tidy.check(tree, llvm_program("clang-tidy"), options)


CHECKS = {"format": check_format, "shell": check_shell, "python": check_python,
          "lines": check_lines, "tidy": check_tidy}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     usage=argparse.SUPPRESS)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="default: all")
    parser.add_argument("--all", action="store_true", help="tidy: every C++ file")
    parser.add_argument("--most", type=int, metavar="N",
                        help="tidy: at most so many files, those with most changes")
    parser.add_argument("--build", type=pathlib.Path, metavar="FOLDER",
                        help="tidy: a built tree; default: the newest")
    parser.add_argument("--strict", action="store_true",
                        help="a program that is missing is an error")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2],
                        metavar="FOLDER", help="the tree to check; default: this one")
    options = parser.parse_args()
    for name in options.checks:
        if name not in CHECKS:
            parser.error(f"there is no check '{name}'; there are: {', '.join(CHECKS)}")
    strict = options.strict or "CI" in os.environ
    tree = Tree(options.root.resolve())
    result = 0
    for name in options.checks or CHECKS:
        began = time.monotonic()
        try:
            found, state = CHECKS[name](tree, options), None
        except Missing as missing:
            found, state = [], str(missing)
            result = 1 if strict else result or 77
        except Elsewhere as elsewhere:
            found, state = [], str(elsewhere)
        if found:
            result = 1
            print(*found, sep="\n")
        state = state or (f"{len(found)} lines of complaint" if found else "well")
        print(f"lint.{name}: {state} ({time.monotonic() - began:.1f} s)", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
