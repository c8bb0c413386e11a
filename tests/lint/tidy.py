# SPDX-License-Identifier: Apache-2.0
"""clang-tidy on C++ files, with the commands of a tree that was built with GCC."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor


def check(tree, clang_tidy, options):
    """What clang-tidy complains of in the files that are to be checked."""
    build = options.build or newest_build(tree)
    commands = Commands(tree, build.resolve())
    if options.all:
        units = [path for path in tree.with_suffix(".cc") if commands.of(path)]
    else:
        units = units_of(tree, commands, changed(tree))
    if options.most is not None and len(units) > options.most:
        print(f"lint.tidy: {len(units)} files; the {options.most} with most changes are checked, "
              "without --most all of them")
        units = units[:options.most]
    if not units:
        return []
    with tempfile.TemporaryDirectory(prefix="sotto-lint-") as folder:
        database = [commands.of(path) for path in units]
        pathlib.Path(folder, "compile_commands.json").write_text(json.dumps(database))

        def run(path):
            command = [clang_tidy, "-p", folder,
                       "--quiet", f"--config-file={tree.root / '.clang-tidy'}", path]
            done = subprocess.run(command, cwd=tree.root, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
            if done.returncode == 0:
                return ""
            return done.stdout.strip() or f"{path}: {done.stderr.strip()}"

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            printed = [text.replace(f"{tree.root}/", "") for text in pool.map(run, units) if text]
    # A header's complaint comes once from each file that includes it.
    return list(dict.fromkeys(block for text in printed
                              for block in re.split(r"\n(?=\S+:\d+:\d+: error)", text)))


def newest_build(tree):
    found = list((tree.root / "build").glob("*/compile_commands.json"))
    if not found:
        sys.exit("lint.py: tidy needs a tree that is built: "
                 "cmake --preset dev && cmake --build build/dev")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def changed(tree):
    """Paths of C++ files, those with most changes first: of what this branch adds to main, or on
    main itself of what its last commit changed; and of what isn't committed yet."""
    head = tree.git("rev-parse", "HEAD").strip()
    bases = (tree.git("merge-base", branch, "HEAD", check=False).strip()
             for branch in ("origin/main", "main"))
    base = next((base for base in bases if base and base != head), None)
    base = base or tree.git("rev-parse", "--verify", "--quiet", "HEAD~1", check=False).strip()
    if not base:
        print("lint.tidy: no commit before this one is known; only what isn't committed is checked")
        base = head
    lines = {}
    entries = iter(tree.git("diff", "--numstat", "-M", "-z", base).split("\0"))
    for entry in entries:
        if not entry:
            continue
        added, deleted, path = entry.split("\t")
        if not path:  # a renamed file: its old and its new path follow
            next(entries)
            path = next(entries)
        lines[path] = int(added) + int(deleted) if added != "-" else 0
    cpp = set(tree.cpp())
    for path in tree.git("ls-files", "-z", "--others", "--exclude-standard").split("\0"):
        if path in cpp:
            lines[path] = len(tree.lines(path))
    return sorted((path for path in lines if path in cpp and lines[path]),
                  key=lambda path: -lines[path])


def units_of(tree, commands, paths):
    """The .cc files to run on so that each of the paths is seen: a header is seen through one file
    that includes it, its own if there is one."""
    units = [path for path in paths if path.endswith(".cc") and commands.of(path)]
    includes = {}
    for header in (path for path in paths if path.endswith(".h")):
        if not includes:
            includes = {path: set(re.findall(r'^#include "([^"]+)"', (tree.root / path).read_text(),
                                             re.MULTILINE))
                        for path in tree.with_suffix(".cc")}
        through = [path for path in includes if header in includes[path] and commands.of(path)]
        folder = pathlib.PurePath(header).parent
        through.sort(key=lambda path: (path not in units, pathlib.PurePath(path).parent != folder,
                                       path != f"{header[:-2]}.cc", path.endswith("_test.cc"),
                                       path))
        if not through:
            print(f"lint.tidy: no built file includes {header}: not checked")
        elif through[0] not in units:
            units.append(through[0])
    return units


class Commands:
    """How each file is compiled, said so that clang understands it."""

    def __init__(self, tree, build):
        self.root = tree.root
        self.entries = {}
        for entry in json.loads((build / "compile_commands.json").read_text()):
            path = pathlib.Path(entry["file"])
            self.entries[path] = entry
            # A unity build's file stands for those that it includes.
            if re.fullmatch(r"unity_\d+_cxx\.cxx", path.name) and path.exists():
                for included in re.findall(r'^#include "(/[^"]+)"', path.read_text(), re.MULTILINE):
                    self.entries.setdefault(pathlib.Path(included), entry)

    def of(self, path):
        """The entry of compile_commands.json for a path from the root; None if it isn't built
        there."""
        file = self.root / path
        entry = self.entries.get(file)
        if entry is None:
            return None
        words, arguments = iter(shlex.split(entry["command"])), []
        for word in words:
            if word in ("-o", "-c"):
                next(words)
            elif word == "-include":  # clang can't read GCC's precompiled headers
                header = next(words)
                arguments += [] if header.endswith("cmake_pch.hxx") else [word, header]
            elif word != "-Winvalid-pch":
                arguments.append(word)
        arguments += ["-Wno-unknown-warning-option", "-c", str(file)]
        return {"directory": entry["directory"], "file": str(file), "arguments": arguments}
