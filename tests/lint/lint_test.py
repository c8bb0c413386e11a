#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each check of lint.py passes a tree that is as it should be, and names the place in one that
isn't."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
SPDX = "SPDX-License-Identifier: Apache-2.0"

GOOD = {
    "add.h": f"// {SPDX}\n#ifndef ADD_H_\n#define ADD_H_\nint Add(int left, int right);\n#endif\n",
    "add.cc": f'// {SPDX}\n#include "add.h"\n\n'
              "int Add(int left, int right) { return left + right; }\n",
    "run.sh": f'#!/bin/sh\n# {SPDX}\necho "$1"\n',
    "count.py": f"#!/usr/bin/env python3\n# {SPDX}\nimport sys\nprint(len(sys.argv))\n",
    "CMakeLists.txt": f"# {SPDX}\nadd_library(add STATIC add.cc)\n",
    "README.md": "# Nothing\n",
}


class LintTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sotto-lint-test-")
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for name in (".clang-format", ".clang-tidy"):
            shutil.copy(PROJECT / name, self.root)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(GOOD)
        self.commit()

    def git(self, *arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@sotto.example"]
        subprocess.run(["git", "-C", self.root, *identity, *arguments], check=True)

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A commit")

    def write(self, files):
        for name, text in files.items():
            (self.root / name).write_text(text)

    def build(self, files, flags=""):
        """What a build of these files would leave."""
        folder = self.root / "build" / "dev"
        folder.mkdir(parents=True, exist_ok=True)
        (self.root / ".gitignore").write_text("/build/\n")
        (folder / "compile_commands.json").write_text(json.dumps(
            [{"directory": str(folder), "file": str(file),
              "command": f"/usr/bin/c++ {flags} -o x.o -c {file}"}
             for file in files]))
        return folder

    def lint(self, *arguments, path=None, ci=False):
        environment = {name: value for name, value in os.environ.items() if name != "CI"}
        if ci:
            environment["CI"] = "true"
        if path is not None:
            environment["PATH"] = str(path)
        command = [sys.executable, "-B", HERE / "lint.py", "--root", self.root, *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def assert_well(self, *arguments):
        code, printed = self.lint(*arguments)
        self.assertEqual(code, 0, printed)

    def assert_found(self, check, *places):
        code, printed = self.lint(*([check] if isinstance(check, str) else check))
        self.assertEqual(code, 1, printed)
        for place in places:
            self.assertIn(place, printed)

    def llvm(self):
        """Whether this release of Debian has the clang tools that count."""
        return "not checked here" not in self.lint("format")[1]

    def test_a_tree_that_is_as_it_should_be(self):
        self.build([self.root / "add.cc"])
        self.assert_well()
        self.assert_well("--all")

    def test_format(self):
        if not self.llvm():
            return self.assertIn("not checked here", self.lint("format", ci=True)[1])
        self.write({"add.cc": GOOD["add.cc"].replace("left + right", "left+right")})
        self.assert_found("format", "add.cc:4:", "-i add.cc")
        return None

    def test_a_string_is_not_broken(self):
        words = "a sentence that an operator reads and that is longer than a hundred columns"
        self.write({"add.cc": f'// {SPDX}\nconst char* kSentence =\n    "{words}, {words}";\n'})
        self.assert_well("format")

    def test_shell(self):
        self.write({"run.sh": GOOD["run.sh"].replace('"$1"', "$1")})
        self.assert_found("shell", "run.sh:3:")
        self.write({"run.sh": GOOD["run.sh"], "tool": f"#!/bin/bash\n# {SPDX}\ncd $1\n"})
        self.assert_found("shell", "tool:3:")

    def test_python(self):
        self.write({"count.py": GOOD["count.py"].replace("sys.argv", "sys.argv + nothing")})
        self.assert_found("python", "count.py:4:", "nothing")

    def test_spdx_line(self):
        for name in ("add.h", "add.cc", "run.sh", "count.py", "CMakeLists.txt"):
            with self.subTest(name):
                self.write(GOOD)
                lines = GOOD[name].splitlines(True)
                self.write({name: "".join(line for line in lines if SPDX not in line)})
                self.assert_found("lines", f"{name}:1: no line with")
        self.write(GOOD)
        for name in ("a.proto", "a.ts", "a.tsx", "a.css", "a.html", "a.cmake"):
            with self.subTest(name):
                self.write({name: "\n"})
                self.assert_found("lines", f"{name}:1: no line with")
                (self.root / name).unlink()

    def test_columns(self):
        for name in ("run.sh", "count.py", "CMakeLists.txt"):
            with self.subTest(name):
                self.write(GOOD)
                self.write({name: GOOD[name] + f"# {'x' * 98}\n"})
                self.assert_well("lines")
                self.write({name: GOOD[name] + f"# {'x' * 99}\n"})
                self.assert_found("lines", f"{name}:{GOOD[name].count(chr(10)) + 1}: 101 columns")
        self.write(GOOD)
        self.write({"run.sh": GOOD["run.sh"] + f'echo "{"x" * 120}"\n'})
        self.assert_well("lines")  # a sentence in one piece

    def test_ends_of_lines(self):
        self.write({"README.md": "# Nothing \n"})
        self.assert_found("lines", "README.md:1: white space")
        self.write({"README.md": "# Nothing"})
        self.assert_found("lines", "README.md:1: the last line")
        self.write({"README.md": GOOD["README.md"]})
        for data in ("tests/fuzz/corpus/x", "tools/testdata/y"):
            (self.root / data).parent.mkdir(parents=True)
            self.write({data: "blank "})
        self.assert_well("lines")

    def test_tidy(self):
        if not self.llvm():
            return
        broken = (f'// {SPDX}\n#include "add.h"\n\nint Add(int left, int right) {{\n'
                  "  int* place = nullptr;\n  if (right == 0) return *place;\n  return left;\n}\n")
        self.build([self.root / "add.cc"])
        self.assert_well("tidy")
        self.write({"add.cc": broken})
        self.assert_found("tidy", "add.cc:6:", "NullDereference")  # not committed
        self.commit()
        self.assert_found("tidy", "add.cc:6:")  # main's last commit
        self.write({"README.md": "# Something\n"})
        self.commit()
        self.assert_well("tidy")
        self.assert_found(("tidy", "--all"), "add.cc:6:")
        self.git("checkout", "--quiet", "-b", "branch", "HEAD~2")
        self.write({"add.cc": broken})
        self.commit()
        self.write({"README.md": "# Something\n"})
        self.commit()
        self.assert_found("tidy", "add.cc:6:")  # a commit of the branch, not its last one

    def test_tidy_sees_a_header_through_a_file_that_includes_it(self):
        if not self.llvm():
            return
        (self.root / "tools").mkdir()
        self.write({"tools/sum.h": f"// {SPDX}\nstruct Sum {{\n  Sum(int value);\n}};\n",
                    "tools/sum.cc": f'// {SPDX}\n#include "tools/sum.h"\n\nSum::Sum(int) {{}}\n'})
        self.commit()
        self.write({"tools/sum.h": (self.root / "tools/sum.h").read_text() + "// More.\n"})
        self.build([self.root / "tools/sum.cc"], f"-I{self.root}")
        self.assert_found("tidy", "tools/sum.h:3:", "google-explicit-constructor")
        self.build([])
        self.assertIn("no built file includes tools/sum.h", self.lint("tidy")[1])

    def test_tidy_understands_gcc_builds(self):
        if not self.llvm():
            return
        folder = self.build([])
        unity = folder / "unity_0_cxx.cxx"
        unity.write_text(f'/* generated */\n#include "{self.root / "add.cc"}"\n')
        (folder / "cmake_pch.hxx").write_text("#error only GCC reads this\n")
        self.build([unity],
                   f"-Winvalid-pch -include {folder}/cmake_pch.hxx -Wno-stringop-overflow -Werror")
        self.write({"add.cc": GOOD["add.cc"].replace("return left",
                                                     "int* x = 0;\n  return *x + left")})
        self.assert_found("tidy", "add.cc:5:", "NullDereference")

    def test_tidy_says_what_it_leaves_out(self):
        if not self.llvm():
            return
        self.write({"sub.cc": f"// {SPDX}\nint Sub() {{ return 1; }}\n",
                    "add.cc": GOOD["add.cc"] + "// More.\n" * 9})
        self.build([self.root / "add.cc", self.root / "sub.cc"])
        code, printed = self.lint("tidy", "--most", "1")
        self.assertEqual(code, 0, printed)
        self.assertIn("2 files; the 1 with most changes", printed)

    def test_a_program_that_is_missing(self):
        tools = self.root / "build" / "tools"
        tools.mkdir(parents=True)
        (tools / "git").symlink_to(shutil.which("git"))
        (self.root / ".gitignore").write_text("/build/\n")
        for check, package in (("shell", "shellcheck"), ("python", "pyflakes3")):
            code, printed = self.lint(check, path=tools)
            self.assertEqual(code, 77, printed)
            self.assertIn(f"Debian's package {package} has it", printed)
            self.assertEqual(self.lint(check, path=tools, ci=True)[0], 1)
            self.assertEqual(self.lint(check, "--strict", path=tools)[0], 1)

    def test_wrong_usage(self):
        self.assertEqual(self.lint("formatt")[0], 2)


if __name__ == "__main__":
    unittest.main()
