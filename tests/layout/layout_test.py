#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the include lines of the C++ sources against the table of docs/architecture.md.

The table is read, not copied: a row says which folders its folder may include, and which others its
tests may. A folder may include only folders whose rows are above its own, so imports go one way.
What a row allows and nobody uses is an error too, so that the table says what is.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = "docs/architecture.md"
ROW = re.compile(r"^\| `([a-z0-9_/]+)` \|[^|]*\|([^|]*)\|([^|]*)\|$")
FOLDER = re.compile(r"`([a-z0-9_/]+)`")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# Sources that are built into tests alone.
OF_TESTS = re.compile(r"_(test|fuzz|fixture|world)\.(cc|h)$|/(test|fake)_[a-z_]+\.(cc|h)$"
                      r"|/(test_support|test_main|eal_test_main|search_universe|served_relay|"
                      r"switchboard_snapshot)\.(cc|h)$")
TOPS = ("relay", "dataplane", "signaling", "tools", "tests", "bench", "cmake")


def read_table(text):
    """{folder: (position, {allowed}, {allowed in tests})}, in the order of the rows."""
    rows = {}
    for line in text.splitlines():
        match = ROW.match(line)
        if match:
            folder, allowed, in_tests = match.groups()
            rows[folder] = (len(rows), set(FOLDER.findall(allowed)), set(FOLDER.findall(in_tests)))
    return rows



def problems(root, sources):
    with open(os.path.join(root, TABLE), encoding="utf-8") as file:
        rows = read_table(file.read())
    found = []
    used = set()
    seen = set()
    if not rows:
        return [f"{TABLE}: there is no table of folders"]
    for source in sources:
        folder = os.path.dirname(source)
        if folder not in rows:
            found.append(f"{source}: the table of {TABLE} has no row for `{folder}`; "
                         "add it above what includes it")
            continue
        seen.add(folder)
        _, allowed, in_tests = rows[folder]
        with open(os.path.join(root, source), encoding="utf-8") as file:
            for path in INCLUDE.findall(file.read()):
                target = os.path.dirname(path)
                if target == folder or path.split("/")[0] not in TOPS or "/" not in path:
                    continue
                if target in allowed:
                    used.add((folder, target))
                elif target in in_tests and OF_TESTS.search("/" + source):
                    used.add((folder, "tests", target))
                else:
                    found.append(f'{source}: includes "{path}", and `{folder}` may not include '
                                 f"`{target}`; move what it needs down, or itself up ({TABLE})")
    for folder, (position, allowed, in_tests) in rows.items():
        if folder not in seen and not any(f.startswith(folder + "/") for f in sources) \
                and not os.path.isdir(os.path.join(root, folder)):
            found.append(f"{TABLE}: there is no folder `{folder}`")
        for target in sorted(allowed | in_tests):
            if target not in rows:
                found.append(f"{TABLE}: `{folder}` may include `{target}`, which has no row")
            elif rows[target][0] >= position:
                found.append(f"{TABLE}: `{folder}` may include `{target}`, whose row is below; "
                             "imports go one way")
        for target in sorted(allowed):
            if (folder, target) not in used:
                found.append(f"{TABLE}: `{folder}` may include `{target}`, and doesn't; "
                             "take it out")
        for target in sorted(in_tests):
            if (folder, "tests", target) not in used:
                found.append(f"{TABLE}: tests of `{folder}` may include `{target}`, and don't; "
                             "take it out")
    return found


def tracked_sources(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "*.cc", "*.h"], check=True,
                            capture_output=True, text=True).stdout
    return [path for path in listed.split("\0") if path
            and os.path.exists(os.path.join(root, path))]


class Layout(unittest.TestCase):
    def test_the_tree_is_as_the_table_says(self):
        self.assertEqual([], problems(ROOT, tracked_sources(ROOT)))


class Checker(unittest.TestCase):
    """The check itself, on trees that break one rule each."""

    def problems_of(self, table, sources):
        with tempfile.TemporaryDirectory() as root:
            head = "| folder | what | may include | its tests too |\n|---|---|---|---|\n"
            files = {TABLE: head + table, **sources}
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return problems(root, sorted(sources))

    GOOD = "| `relay/base` | b | | |\n| `relay/turn` | t | `relay/base` | |\n"
    USED = {"relay/base/a.h": "", "relay/turn/b.cc": '#include "relay/base/a.h"\n'}

    def test_a_tree_that_keeps_the_rules_passes(self):
        self.assertEqual([], self.problems_of(self.GOOD, self.USED))

    def test_an_include_that_no_row_allows_is_named(self):
        sources = dict(self.USED, **{"relay/base/a.h": '#include "relay/turn/b.h"\n'})
        self.assertIn('relay/base/a.h: includes "relay/turn/b.h"',
                      self.problems_of(self.GOOD, sources)[0])

    def test_a_row_may_not_allow_what_is_below_it(self):
        table = "| `relay/base` | b | `relay/turn` | |\n| `relay/turn` | t | `relay/base` | |\n"
        sources = dict(self.USED, **{"relay/base/a.h": '#include "relay/turn/b.h"\n'})
        self.assertIn("imports go one way", self.problems_of(table, sources)[0])

    def test_a_folder_without_a_row_is_named(self):
        sources = dict(self.USED, **{"relay/new/c.cc": ""})
        self.assertIn("no row for `relay/new`", self.problems_of(self.GOOD, sources)[0])

    def test_what_a_row_allows_and_nobody_uses_is_named(self):
        self.assertIn("and doesn't",
                      self.problems_of(self.GOOD, {"relay/base/a.h": "", "relay/turn/b.cc": ""})[0])

    def test_what_only_tests_may_include_is_refused_to_the_rest(self):
        table = "| `relay/base` | b | | |\n| `relay/turn` | t | | `relay/base` |\n"
        test = {"relay/base/a.h": "", "relay/turn/b_test.cc": '#include "relay/base/a.h"\n'}
        self.assertEqual([], self.problems_of(table, test))
        both = dict(test, **{"relay/turn/b.cc": '#include "relay/base/a.h"\n'})
        self.assertIn("relay/turn/b.cc: includes", self.problems_of(table, both)[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--print-use", action="store_true",
                        help="prints which folder includes which, as it is")
    known, rest = parser.parse_known_args()
    if known.print_use:
        use = {}
        for path in tracked_sources(ROOT):
            own = os.path.dirname(path)
            with open(os.path.join(ROOT, path), encoding="utf-8") as opened:
                for include in INCLUDE.findall(opened.read()):
                    other = os.path.dirname(include)
                    if other != own and "/" in include and include.split("/")[0] in TOPS:
                        in_tests = bool(OF_TESTS.search("/" + path))
                        use.setdefault(own, {}).setdefault(other, set()).add(in_tests)
        for own in sorted(use):
            plain = sorted(o for o, kinds in use[own].items() if False in kinds)
            tests = sorted(o for o, kinds in use[own].items() if kinds == {True})
            print(f"{own}: {' '.join(plain)} | {' '.join(tests)}")
        sys.exit()
    unittest.main(argv=[sys.argv[0], *rest])
