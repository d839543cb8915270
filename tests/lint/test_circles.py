#!/usr/bin/env python3
"""The lint finds each circle and each use of a higher layer, and nothing else.

Each case is a small tree in good order, in which one thing is changed; the breach
must name the files, the symbols and the lines.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import circles

HERE = Path(__file__).resolve().parent

# mi: low <- middle <- high.  What is in comments and strings, static, a member, a
# declaration or of a contract, is no use.
CLEAN = {
    "base/words.h": """
        #define PIM_INLINE static inline
        #define PIM_LATER(x) \\
            pim_high_open(x)
        #define PIM_LOCK(name) int name = 0
        """,
    "platform/os.h": """
        #include "base/words.h"
        int pim_os_page_size(void);
        PIM_INLINE int
        pim_os_begins_page(int address)
        {
            return address % pim_os_page_size() == 0;
        }
        """,
    "platform/os_linux.c": """
        #include "platform/os.h"
        int
        pim_os_page_size(void)
        {
            return 4096;
        }
        int
        pim_os_read(int address)
        {
            return pim_os_begins_page(address) + pthread_atfork(0, 0, 0);
        }
        """,
    "mi/low.h": """
        int pim_low(int x);
        extern int pim_low_lock;
        """,
    "mi/low.c": """
        // low.c -- what pim_high_open() and pim_top() stand on.
        #include "mi/low.h"
        #include "base/words.h"

        PIM_LOCK(pim_low_lock);
        extern int pim_high_count; // declared and not used
        struct ops {
            int pim_high_open;
        };

        static int
        helper(int x)
        {
            return x;
        }

        int
        pim_low(int x)
        {
            /* as pim_high_open() has it */
            struct ops ops = {.pim_high_open = x};
            const char *text = "pim_high_open() \\" pim_top()";
            int helper_of_high = x;
            return helper(ops.pim_high_open) + (text != 0) + helper_of_high;
        }
        """,
    "mi/middle.h": """
        int pim_middle(int x);
        """,
    "mi/middle.c": """
        #include "mi/middle.h"
        #include "mi/low.h"

        static int
        helper(int x)
        {
            return pim_low(x) + pim_low_lock;
        }

        int
        pim_middle(int x)
        {
            return helper(x);
        }
        """,
    "mi/high.h": """
        #include "base/words.h"

        int pim_high_open(int x);
        extern int pim_high_count;
        extern int (*const pim_high_table[1])(int x);

        PIM_INLINE int
        pim_high_inline(int x)
        {
            return x;
        }
        """,
    "mi/high.c": """
        #include "mi/high.h"
        #include "mi/middle.h"

        enum {
            HIGH = 1,
        };
        int pim_high_count = HIGH;
        PIM_LOCK(pim_high_lock);
        int (*const pim_high_table[1])(int x) = {pim_middle};

        static int
        helper_of_high(int x)
        {
            return x;
        }

        __attribute__((noinline)) int
        pim_high_open(int x)
        {
            return helper_of_high(x) + pim_middle(x);
        }
        """,
    "heap/top.h": """
        int pim_top(int x);
        extern int pim_top_count;
        """,
    "heap/top.c": """
        #include "heap/top.h"
        #include "mi/high.h"

        int pim_top_count;

        int
        pim_top(int x)
        {
            return PIM_LATER(x) + pim_high_inline(x);
        }
        """,
    "preload/foreign.c": """
        int
        pthread_atfork(void *prepare, void *parent, void *child)
        {
            return prepare == parent && parent == child;
        }
        """,
}

RETURNS = "return helper(ops.pim_high_open)"
DOWN = r"^mi/high -> mi/middle \(pim_middle, .*\) -> mi/low \(pim_low.*\) -> mi/high "

# what, file, words there, words instead, rule, pattern of the breach
PLANTED = [
    ("a call", "mi/low.c", RETURNS, "return pim_high_open(x)", "circle",
     DOWN + r"\(pim_high_open, low.c:\d+\)$"),
    ("a call between two of three", "mi/middle.c", "return helper(x)",
     "return pim_high_open(x)", "circle",
     r"^mi/high -> mi/middle \(pim_middle, .*\) -> mi/high \(pim_high_open, middle.c:\d+\)$"),
    ("two circles", "mi/low.c", RETURNS, "return pim_high_open(x) + pim_middle(x)", "circle",
     r"^mi/low -> mi/middle .* -> mi/low .*; 3 files in all go round"),
    ("an inline function of a header", "mi/low.c", RETURNS, "return pim_high_inline(x)",
     "circle", DOWN + r"\(pim_high_inline, low.c:\d+\)$"),
    ("a macro that calls", "mi/low.c", RETURNS, "return PIM_LATER(x)", "circle",
     DOWN + r"\(pim_high_open, low.c:\d+\)$"),
    ("a variable", "mi/low.c", RETURNS, "return pim_high_count", "circle",
     DOWN + r"\(pim_high_count, low.c:\d+\)$"),
    ("a variable that a macro defines", "mi/low.c", RETURNS, "return pim_high_lock", "circle",
     DOWN + r"\(pim_high_lock, low.c:\d+\)$"),
    ("an array of functions", "mi/low.c", RETURNS, "return pim_high_table[0](x)", "circle",
     DOWN + r"\(pim_high_table, low.c:\d+\)$"),
    ("an initialiser", "mi/low.c", "static int\nhelper",
     "int (*pim_low_calls)(int) = pim_high_open;\n\nstatic int\nhelper", "circle",
     DOWN + r"\(pim_high_open, low.c:\d+\)$"),
    ("an include", "mi/low.h", "int pim_low(", '#include "mi/high.h"\nint pim_low(',
     "circle", DOWN + r"\(#include mi/high.h, low.h:\d+\)$"),
    ("a declaration of its own", "mi/low.c", RETURNS,
     "extern int pim_top(int x);\n    return pim_top(x)", "layers",
     r"^pim_top is defined in src/heap/top.c, which lies above"),
    ("a variable that it declares", "mi/low.c", RETURNS,
     "extern int pim_top_count;\n    return pim_top_count", "layers",
     r"^pim_top_count is defined in src/heap/top.c, which lies above"),
    ("an inline function that calls upward", "mi/high.h", "return x;",
     "return pim_top(x);", "layers", r"^pim_top is defined in src/heap/top.c"),
]


def dedented(text):
    return re.sub(r"^        ", "", text.lstrip("\n").rstrip(" "), flags=re.M)


class Circles(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="lint-"))
        self.addCleanup(shutil.rmtree, self.root)
        for name, text in CLEAN.items():
            path = self.root / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedented(text), encoding="utf-8")

    def change(self, name, words, instead):
        path = self.root / "src" / name
        text = path.read_text(encoding="utf-8")
        self.assertEqual(text.count(words), 1, (name, words))
        path.write_text(text.replace(words, instead), encoding="utf-8")

    def line(self, path, number):
        return (self.root / path).read_text(encoding="utf-8").splitlines()[number - 1]

    def test_nothing_is_found_in_a_clean_tree(self):
        self.assertEqual(list(circles.check(self.root)), [])

    def test_what_is_planted_is_found_and_named(self):
        for what, name, words, instead, rule, pattern in PLANTED:
            with self.subTest(what):
                self.setUp()
                self.change(name, words, instead)
                found = list(circles.check(self.root))
                self.assertEqual([breach[2] for breach in found], [rule])
                path, line, _, text = found[0]
                self.assertRegex(text, pattern)
                self.assertRegex(self.line(path, line), r"pim_(low|middle|top)")
                for arrow in re.finditer(r"\((\S.*?), (\w+\.[ch]):(\d+)\)", text):
                    there = self.line(f"src/mi/{arrow[2]}", int(arrow[3]))
                    name = arrow[1].split()[-1]
                    self.assertTrue(name in there or "PIM_LATER" in there, (name, there))

    def test_circles_of_a_folder_in_disorder_are_passed_over(self):
        self.change("mi/low.c", RETURNS, "return pim_high_open(x)")
        before, circles.EXCEPT = circles.EXCEPT, {"mi"}
        self.addCleanup(setattr, circles, "EXCEPT", before)
        self.assertEqual(list(circles.check(self.root)), [])

    def test_the_whole_lint_fails_for_each(self):
        lint = self.root / "tests/lint"
        lint.mkdir(parents=True)
        for script in HERE.glob("*.py"):
            shutil.copy(script, lint)
        command = [sys.executable, "-B", lint / "check_layers.py"]

        def run():
            return subprocess.run(command, capture_output=True, text=True, check=False)

        clean = run()
        self.assertEqual((clean.returncode, clean.stderr), (0, ""), clean.stdout)
        self.assertIn(", 0 breaches", clean.stdout)
        self.change("mi/low.c", RETURNS,
                    "extern int pim_top(int x);\n    return pim_high_open(x) + pim_top(x)")
        planted = run()
        self.assertEqual(planted.returncode, 1)
        self.assertRegex(planted.stdout, r"(?m)^src/mi/high.c:\d+: circle: mi/high -> ")
        self.assertRegex(planted.stdout, r"(?m)^src/mi/low.c:\d+: layers: pim_top is defined in ")


if __name__ == "__main__":
    unittest.main()
