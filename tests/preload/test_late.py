"""Programs that load libpython long after they started, and initialise it again."""

import re
import sys
import unittest

import support
from support import GUARD, PRELOAD, WORK, build, python, run

CYCLES = 3
WAYS = ["initialize", "preinit", "isolated-preinit", "config", "isolated-config"]
if sys.version_info >= (3, 14):
    WAYS += ["initconfig"]
MAINS = ["main", "bytes-main"]

# Modules with static types and objects that outlive Py_Finalize().  3.12.1 by itself
# ends with a double free with any of these but the first three, which pimalloc
# spares it; with ssl it crashes either way.
MODULES = "json, re, collections, datetime, sqlite3"
if sys.version_info >= (3, 13):
    MODULES += ", decimal, ssl, asyncio"
SCRIPT = WORK + f"""
import threading
try:
    import {MODULES}
except ImportError:
    pass  # loaded with RTLD_LOCAL, libpython is out of their sight
def work():
    [[i] for i in range(5000)]
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


class Host(support.TestCase):
    def run_host(self, way, *options, library=None, host="HOST", cycles=CYCLES, script=SCRIPT,
                 **changes):
        library = library or build("LIBPYTHON")
        done = run(build(host), library, way, str(cycles), script, *options,
                   libraries=(PRELOAD, GUARD), **changes)
        self.assertEqual(done.status, 0, str(done))
        return done

    def assert_each_cycle(self, done, cycles=CYCLES, told=True):
        document = self.assert_served(done)
        self.assertEqual(max(i["generation"] for i in document["interpreters"]), cycles,
                         str(done))
        if told:
            self.assertEqual(re.findall(r"cycle (\d+): active (\d), owner (-?\d+)", done.stdout),
                             [(str(n + 1), "1", "0") for n in range(cycles)], str(done))
        self.assertEqual(done.stderr, "")

    def test_each_way_to_initialise(self):
        for way in WAYS + MAINS:
            with self.subTest(way):
                self.assert_each_cycle(self.run_host(way), told=way not in MAINS)

    def test_each_way_in_a_program_that_is_linked_with_it(self):
        for way in WAYS + MAINS:
            with self.subTest(way):
                self.assert_each_cycle(self.run_host(way, library="self", host="LINKED_HOST"),
                                       told=way not in MAINS)

    def test_each_way_to_load_it(self):
        for library in ("global:" + build("LIBPYTHON"), "plugin:" + build("PLUGIN")):
            for way in ("initialize", "isolated-preinit", "bytes-main"):
                with self.subTest(library=library, way=way):
                    self.assert_each_cycle(self.run_host(way, library=library),
                                           told=way not in MAINS)

    def test_while_a_thread_asks_for_the_locale(self):
        for way in WAYS + MAINS:
            with self.subTest(way):
                done = self.run_host(way, "ask-locale")
                self.assert_each_cycle(done, told=way not in MAINS)
                self.assertIn("asked often", done.stdout)

    def test_figures_of_a_python_that_is_never_finalised(self):
        self.assert_each_cycle(self.run_host("leave", cycles=1), cycles=1)

    def test_no_figures_of_a_python_that_was_only_preinitialised(self):
        done = self.run_host("preinit-only", cycles=1, PIMALLOC_VERBOSE="1")
        self.assertEqual(done.figures, {})
        self.assertEqual(len(done.why_not), 1, str(done))
        self.assertIn("not started", done.why_not[0])

    def test_many_cycles(self):
        self.assert_each_cycle(self.run_host("initialize", cycles=12, script=WORK), cycles=12)

    def test_debug_hooks_in_each_cycle(self):
        for way in WAYS:
            with self.subTest(way):
                self.assert_each_cycle(self.run_host(way, PIMALLOC_DEBUG="1"))

    def test_tracemalloc_in_each_cycle(self):
        for debug in ("0", "1"):
            done = self.run_host("initialize", PYTHONTRACEMALLOC="3", PIMALLOC_DEBUG=debug)
            self.assert_each_cycle(done)

    def test_chosen_by_the_variable_where_it_counts(self):
        done = self.run_host("initialize", PYTHONMALLOC="malloc", PIMALLOC_VERBOSE="1")
        self.assertEqual(done.figures, {})
        self.assertEqual(done.stdout.count("active 0, owner -1"), CYCLES, str(done))
        self.assertEqual(len(done.why_not), 1, str(done))
        self.assertIn("PYTHONMALLOC", done.why_not[0])
        self.assert_each_cycle(self.run_host("isolated-preinit", PYTHONMALLOC="malloc"))

    def test_figures_of_the_last_cycle(self):
        done = self.run_host("initialize", script="import os\n"
                             "os.environ['N'] = n = str(int(os.environ.get('N', '0')) + 1)\n"
                             "if n == '2': os.environ['PYTHONMALLOC'] = 'malloc'\n" + WORK,
                             cycles=3)
        # The third one was not ours: nobody's figures are told.
        self.assertEqual(done.figures, {}, str(done))
        self.assertEqual(re.findall(r"active (\d)", done.stdout), ["1", "1", "0"], str(done))

    def test_nobody_has_huge_pages_from_the_start(self):
        script = ("print('huge:', any('hg' in line.split() for line in open('/proc/self/smaps') "
                  "if line.startswith('VmFlags')))")
        self.assertIn("huge: False", python("-c", script).stdout)
        self.assertIn("huge: False", self.run_host("initialize", cycles=1, script=script).stdout)

    def test_a_second_libpython_keeps_its_own_allocator(self):
        second = build("SECOND")
        done = self.run_host("initialize", f"second={second}", cycles=2, script=WORK,
                             PIMALLOC_VERBOSE="1")
        # Loaded in between, it neither takes the first one's place nor its allocator.
        self.assertEqual(re.findall(r"cycle (\d+): active \d, owner (-?\d+)", done.stdout),
                         [("1", "0"), ("101", "-1"), ("2", "0"), ("102", "-1")], str(done))
        self.assert_served(done)
        self.assertEqual(len(done.why_not), 1, str(done))
        self.assertIn("second Python", done.why_not[0])

    def test_a_second_libpython_while_the_first_one_runs(self):
        second = build("SECOND")
        done = self.run_host("leave", f"second={second}", cycles=1, script=WORK)
        self.assertEqual(re.findall(r"cycle (\d+): active \d, owner (-?\d+)", done.stdout),
                         [("1", "0"), ("101", "-1")], str(done))
        self.assert_served(done)


class Constructors(support.TestCase):
    def test_python_that_runs_before_our_constructor(self):
        """The constructor of a library that the program is linked with starts Python."""
        for _ in range(2):
            done = run(build("EARLY_HOST"), libraries=(PRELOAD, GUARD), PIMALLOC_VERBOSE="1")
            self.assertEqual(done.status, 0, str(done))
            self.assert_served(done)
            self.assertEqual(done.why_not, [], str(done))


if __name__ == "__main__":
    unittest.main()
