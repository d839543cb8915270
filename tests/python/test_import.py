"""The module comes and goes: without pimalloc, with a wrong one, again and again."""

import ast
import gc
import importlib
import os
import pathlib
import subprocess
import sys
import unittest

import pimalloc
import support

CALLS = ["stats()", "stats(0)", "stats(pimalloc.PROCESS)", "interpreters()", "owner(None)",
         "classes(0)", "trim()", "trim(pimalloc.EACH)", "prefork_freeze()",
         "print_stats()", "record_start('x')", "record_stop()"]


class WithoutPimalloc(unittest.TestCase):
    def run_without(self, code, **changes):
        changes.setdefault("LD_PRELOAD", None)
        return support.run_python(code, **changes)

    def test_active_and_version_work(self):
        done = self.run_without("import pimalloc; print(pimalloc.active(), pimalloc.version())")
        self.assertEqual(done.stdout.strip(), f"False {pimalloc.version()}", done.stderr)

    def test_the_others_raise_with_cause_and_remedy(self):
        for call in CALLS:
            with self.subTest(call):
                done = self.run_without(f"import pimalloc\ntry: pimalloc.{call}\n"
                                        "except pimalloc.NotActiveError as e: print(repr(e))")
                self.assertIn("not in this process", done.stdout, done.stderr)
                self.assertIn("run python under pimalloc-run", done.stdout)
                self.assertIn("pimalloc_install()", done.stdout)

    def test_a_loaded_library_that_does_not_serve_is_told_apart(self):
        library = os.environ.get("PIM_TEST_LIBRARY")
        if not library:
            self.skipTest("no libpimalloc.so was named")
        done = self.run_without("import pimalloc\ntry: pimalloc.stats()\n"
                                "except pimalloc.NotActiveError as e: print(e)",
                                LD_PRELOAD=library)
        self.assertIn("does not serve this Python", done.stdout, done.stderr)

    def test_a_library_of_another_version_is_refused(self):
        done = self.run_without("import pimalloc", LD_PRELOAD=os.environ["PIM_TEST_OTHER_VERSION"])
        self.assertIn("ImportError", done.stderr)
        self.assertIn(f"module of pimalloc {pimalloc.version()}", done.stderr)
        self.assertIn("library in this process is pimalloc 12.34.56", done.stderr)
        self.assertIn("--with-module", done.stderr)

    def test_a_library_that_lacks_functions_is_refused(self):
        done = self.run_without("import pimalloc", LD_PRELOAD=os.environ["PIM_TEST_INCOMPLETE"])
        self.assertIn("ImportError", done.stderr)
        self.assertIn("has no pimalloc_active()", done.stderr)

    def test_a_failed_import_can_be_repeated(self):
        done = self.run_without("for i in range(3):\n"
                                "    try: import pimalloc\n"
                                "    except ImportError: print('no')",
                                LD_PRELOAD=os.environ["PIM_TEST_INCOMPLETE"])
        self.assertEqual(done.stdout.split(), ["no"] * 3, done.stderr)


class Again(unittest.TestCase):
    def tearDown(self):
        sys.modules["pimalloc"] = pimalloc

    def fresh(self):
        sys.modules.pop("pimalloc", None)
        return importlib.import_module("pimalloc")

    def test_a_deleted_module_is_imported_anew(self):
        again = self.fresh()
        self.assertIsNot(again, pimalloc)
        self.assertIsNot(again.NotActiveError, pimalloc.NotActiveError)
        self.assertEqual(again.active(), pimalloc.active())

    def test_reload_changes_nothing(self):
        error = pimalloc.NotActiveError
        self.assertIs(importlib.reload(pimalloc), pimalloc)
        self.assertIs(pimalloc.NotActiveError, error)

    def test_functions_outlive_the_module(self):
        active = self.fresh().active
        sys.modules.pop("pimalloc")
        gc.collect()
        self.assertEqual(active(), pimalloc.active())

    @support.needs_active
    def test_a_thousand_imports_leave_nothing(self):
        def come_and_go():
            self.fresh().stats()
            sys.modules.pop("pimalloc")

        self.assertLess(support.growth(come_and_go, 1000), 50)


class TheFile(unittest.TestCase):
    def test_is_for_every_version(self):
        self.assertTrue(pimalloc.__file__.endswith("/pimalloc.abi3.so"), pimalloc.__file__)

    def test_version_is_that_of_the_header(self):
        self.assertEqual(pimalloc.version(), os.environ["PIM_TEST_VERSION"])

    def symbols(self, which):
        done = subprocess.run([os.environ["PIM_TEST_NM"], "-D", which, pimalloc.__file__],
                              capture_output=True, text=True, check=True)
        return {line.split()[-1] for line in done.stdout.splitlines()}

    @unittest.skipUnless(os.environ.get("PIM_TEST_NM"), "no nm")
    def test_exports_its_init_function_only(self):
        self.assertEqual(self.symbols("--defined-only"), {"PyInit_pimalloc"})

    @unittest.skipUnless(os.environ.get("PIM_TEST_NM"), "no nm")
    def test_uses_the_stable_abi_only(self):
        # Debian has CPython's own tests, and with them the list, in a package apart.
        path = pathlib.Path(os.__file__).with_name("test") / "test_stable_abi_ctypes.py"
        if not path.exists():
            self.skipTest(f"no {path}")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        used = {name for name in self.symbols("--undefined-only") if "Py" in name}
        self.assertGreater(len(used), 20)
        self.assertEqual(used - names, set())


if __name__ == "__main__":
    support.main()
