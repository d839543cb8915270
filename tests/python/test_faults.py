"""Requests that fail on purpose: which, how many, and nothing else."""

import gc
import json
import pathlib
import re
import sys
import threading
import unittest

import pimalloc
import support
from support import interpreter

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "faults.md"
BIG = 50_000  # bytes that nobody else asks for, nor up to twice as many


def ask(times=1, size=BIG):
    """How many of so many big requests failed."""
    failed = 0
    for _ in range(times):
        try:
            bytes(size)
        except MemoryError:
            failed += 1
    return failed


DEBUG = hasattr(sys, "gettotalrefcount")


class Worker:
    def work(self):
        return ask()


@support.needs_active
class Rules(unittest.TestCase):
    def test_nth(self):
        with pimalloc.faults(nth=3, min_size=BIG) as f:
            self.assertEqual([ask() for _ in range(5)], [0, 0, 1, 0, 0])
            self.assertEqual((f.matched, f.failed), (5, 1))
        self.assertEqual((f.matched, f.failed), (5, 1))
        self.assertEqual(ask(5), 0)

    def test_every(self):
        with pimalloc.faults(every=4, min_size=BIG) as f:
            self.assertEqual(ask(20), 5)
        self.assertEqual((f.matched, f.failed), (20, 5))

    def test_probability_is_of_the_seed(self):
        def draw(seed):
            with pimalloc.faults(probability=0.5, seed=seed, min_size=BIG) as f:
                drawn = [ask() for _ in range(200)]
            self.assertEqual((f.matched, f.failed), (200, sum(drawn)))
            return drawn
        self.assertEqual(draw(1), draw(1))
        self.assertNotEqual(draw(1), draw(2))
        self.assertGreater(sum(draw(3)), 50)
        self.assertLess(sum(draw(3)), 150)
        with pimalloc.faults(probability=1, min_size=BIG):
            self.assertEqual(ask(10), 10)

    def test_sizes(self):
        with pimalloc.faults(every=1, min_size=BIG, max_size=2 * BIG) as f:
            self.assertEqual(ask(size=BIG - 100), 0)
            self.assertEqual(ask(size=BIG), 1)
            self.assertEqual(ask(size=3 * BIG), 0)
        self.assertEqual(f.failed, 1)

    def test_domains(self):
        with pimalloc.faults(every=1, min_size=BIG, domains="obj"):
            self.assertEqual(ask(), 1)
        with pimalloc.faults(every=1, min_size=BIG, domains=["mem", "raw"]):
            self.assertEqual(ask(), 0)
            with self.assertRaises(MemoryError):
                [0] * BIG

    def test_functions(self):
        worker = Worker()
        with pimalloc.faults(every=1, min_size=BIG, function="Worker.work") as f:
            self.assertEqual(ask(), 0)
            self.assertEqual(worker.work(), 1)
            self.assertEqual(ask(), 0)
        self.assertEqual((f.matched, f.failed), (1, 1))

    def test_blocks_that_grow(self):
        data = bytearray(BIG)
        with pimalloc.faults(every=1, min_size=BIG):
            with self.assertRaises(MemoryError):
                data.extend(bytes(1) * 40_000)
            del data[10:]  # shrinking needs nothing
        self.assertEqual(len(data), 10)

    def test_several(self):
        with pimalloc.faults(every=2, min_size=BIG) as outer:
            with pimalloc.faults(every=3, min_size=BIG) as inner:
                self.assertEqual(ask(12), 8)
        self.assertEqual((outer.matched, outer.failed), (8, 4))
        self.assertEqual((inner.matched, inner.failed), (12, 4))

    def test_threads_share_a_rule(self):
        failed = []
        threads = [threading.Thread(target=lambda: failed.append(ask(200))) for _ in range(2)]
        with pimalloc.faults(every=5, min_size=BIG) as f:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual((f.matched, f.failed, sum(failed)), (400, 80, 80))


@support.needs_active
class Ends(unittest.TestCase):
    @unittest.skipIf(DEBUG, "this build asserts that memory does not run out")
    def test_the_error_arrives(self):
        with self.assertRaises(MemoryError):
            with pimalloc.faults(every=1) as f:
                [object() for _ in range(1000)]
        self.assertGreaterEqual(f.failed, 1)
        self.assertEqual(ask(), 0)

    def test_other_errors_pass(self):
        with self.assertRaises(KeyError):
            with pimalloc.faults(every=1, min_size=BIG):
                raise KeyError
        self.assertEqual(ask(), 0)

    @unittest.skipIf(DEBUG, "this build asserts that memory does not run out")
    def test_work_goes_on_after_each(self):
        # Few keys: CPython 3.13.0 crashes where the memo of json.loads() cannot grow.
        tree = [{"n": i, "s": [i] * i} for i in range(20)]
        text = json.dumps(tree)
        refused = 0
        for every in range(1, 201):
            f = pimalloc.faults(every=every)
            try:
                with f:
                    json.loads(text)
                    sorted(tree, key=str)
                    dict.fromkeys(range(500), list(range(500)))
            except (MemoryError, SystemError) as error:
                if sys.version_info >= (3, 14):
                    self.assertIsInstance(error, MemoryError)
            refused += f.failed
            self.assertEqual(json.loads(text), tree)
        self.assertGreater(refused, 100)

    def test_one_that_is_dropped_ends(self):
        f = pimalloc.faults(every=1, min_size=BIG)
        f.__enter__()
        self.assertEqual(ask(), 1)
        del f
        gc.collect()
        self.assertEqual(ask(), 0)

    def test_again(self):
        f = pimalloc.faults(nth=1, min_size=BIG)
        for _ in range(3):
            with f:
                self.assertEqual(ask(2), 1)
                with self.assertRaisesRegex(RuntimeError, "entered already"):
                    f.__enter__()
            self.assertEqual((f.matched, f.failed), (2, 1))
        self.assertIs(f.__exit__(None, None, None), False)

    def test_too_many(self):
        rules = [pimalloc.faults(every=1, min_size=1 << 40) for _ in range(40)]
        entered = []
        with self.assertRaisesRegex(RuntimeError, "too many"):
            for rule in rules:
                rule.__enter__()
                entered.append(rule)
        for rule in entered:
            rule.__exit__(None, None, None)
        with rules[0]:
            pass

    def test_no_memory_is_lost(self):
        def work():
            with pimalloc.faults(every=2, min_size=BIG, function="Worker.work"):
                ask(4)
        self.assertLess(support.growth(work, 50), 20)


@support.needs_active
class Interpreters(unittest.TestCase):
    def test_the_calling_one_by_default(self):
        with interpreter() as one:
            one.run("import pimalloc")
            with pimalloc.faults(every=1, min_size=BIG, max_size=2 * BIG):
                self.assertEqual(one.run(f"result = len(bytes({BIG}))"), BIG)
                self.assertEqual(ask(), 1)
            code = (f"try:\n"
                    f"    with pimalloc.faults(every=1, min_size={BIG}, max_size={2 * BIG}) as f:\n"
                    f"        bytes({BIG})\n"
                    f"except MemoryError:\n"
                    f"    result = f.failed\n")
            self.assertEqual(one.run(code), 1)

    def test_main_may_name_others(self):
        ask_there = (f"try:\n"
                     f"    bytes({BIG})\n"
                     f"except MemoryError:\n"
                     f"    result = 'failed'\n")
        with interpreter() as one, interpreter() as other:
            other.run("pass")
            one.run("pass")
            with pimalloc.faults(every=1, min_size=BIG, max_size=2 * BIG, interp=one) as f:
                self.assertEqual(ask(), 0)
                self.assertIsNone(other.run(ask_there))
                self.assertEqual(one.run(ask_there), "failed")
            self.assertEqual(f.failed, 1)
            with pimalloc.faults(every=1, min_size=BIG, max_size=2 * BIG,
                                 interp=pimalloc.EACH) as f:
                self.assertEqual(one.run(ask_there), "failed")
                self.assertEqual(other.run(ask_there), "failed")
                self.assertEqual(ask(), 1)
            self.assertEqual(f.failed, 3)

    def test_others_may_not(self):
        with interpreter() as one:
            code = ("import pimalloc\n"
                    "result = []\n"
                    "for interp in (0, pimalloc.EACH, pimalloc.PROCESS):\n"
                    "    try:\n"
                    "        pimalloc.faults(every=1, interp=interp)\n"
                    "    except PermissionError as error:\n"
                    "        result.append(str(error))\n")
            self.assertEqual(len(one.run(code)), 3)

    def test_one_that_ends_with_a_rule(self):
        with interpreter() as one:
            one.run(f"import pimalloc\n"
                    f"f = pimalloc.faults(every=2, min_size={1 << 30})\n"
                    f"f.__enter__()\n")
            f = pimalloc.faults(every=3, interp=one)
            f.__enter__()
        f.__exit__(None, None, None)
        self.assertGreaterEqual(f.matched, f.failed)
        self.assertEqual(ask(), 0)

    def test_legacy_ones_are_main(self):
        with interpreter(legacy=True) as one:
            code = (f"import pimalloc\n"
                    f"try:\n"
                    f"    with pimalloc.faults(every=1, min_size={BIG}, max_size={2 * BIG}) as f:\n"
                    f"        bytes({BIG})\n"
                    f"except MemoryError:\n"
                    f"    result = f.failed\n")
            self.assertEqual(one.run(code), 1)


@support.needs_active
class Arguments(unittest.TestCase):
    def refuse(self, error, text, *args, **kwargs):
        with self.assertRaisesRegex(error, text):
            pimalloc.faults(*args, **kwargs)

    def test_bad_ones(self):
        self.refuse(ValueError, "exactly one")
        self.refuse(ValueError, "exactly one", nth=1, every=1)
        self.refuse(ValueError, "exactly one", nth=1, probability=0.5)
        self.refuse(ValueError, "nth must be at least 1", nth=0)
        self.refuse(ValueError, "every must be at least 1", every=0)
        self.refuse(ValueError, "up to 1", probability=1.5)
        self.refuse(ValueError, "up to 1", probability=-1.0)
        self.refuse(ValueError, "up to 1", probability=float("nan"))
        self.refuse(ValueError, "max_size", every=1, min_size=9, max_size=8)
        self.refuse(ValueError, "no domain 'x'", every=1, domains="x")
        self.refuse(ValueError, "no domain 1", every=1, domains=[1])
        self.refuse(ValueError, "one at least", every=1, domains=())
        self.refuse(ValueError, "of up to 255 bytes", every=1, function="")
        self.refuse(ValueError, "of up to 255 bytes", every=1, function="f" * 256)
        self.refuse(ValueError, "of up to 255 bytes", every=1, function="a\0b")
        self.refuse(ValueError, "no living interpreter 999999", every=1, interp=999_999)
        self.refuse(TypeError, "qualified name", every=1, function=len)
        self.refuse(TypeError, "positional", 1)
        self.refuse(TypeError, "", every="1")
        self.refuse(OverflowError, "", every=1 << 64)
        self.refuse(OverflowError, "", nth=-1)

    def test_good_ones(self):
        pimalloc.faults(every=1, nth=None, min_size=None, max_size=None, domains=None, interp=None,
                        function=None)
        pimalloc.faults(every=1, function="f" * 255, domains=("raw", "mem", "obj"), interp=0)
        pimalloc.faults(probability=1, seed=(1 << 64) - 1, interp=pimalloc.PROCESS)


@support.needs_active
class Page(unittest.TestCase):
    def test_the_example_says_what_the_page_says(self):
        text = PAGE.read_text(encoding="utf-8")
        code = re.search(r"^```python\n(.*?)^```", text, re.S | re.M)[1]
        said = re.search(r"^```console\n\$ .*?\n(.*?)^```", text, re.S | re.M)[1]
        done = support.run_python(code)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, said, ""))

    def test_rules_of_the_environment(self):
        code = (f"def f(): return bytes({BIG})\n"
                f"bytes({BIG})\n"
                f"try:\n"
                f"    f()\n"
                f"except MemoryError:\n"
                f"    print('failed')\n"
                f"import os; os.getcwd()\n")
        for rules in (f"every=1,min_size={BIG},max_size={2 * BIG},function=f",
                      f"nth=100000;nth=2,min_size={BIG},max_size={2 * BIG},domain=mem+obj"):
            done = support.run_python("import os, sys; open(os.devnull).close()\n" + code,
                                      PIMALLOC_FAULTS=rules)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "failed\n", ""))

    def test_rules_of_the_environment_say_what_they_did(self):
        done = support.run_python(f"[bytes({BIG}) for i in range(5)]", PIMALLOC_VERBOSE="1",
                                  PIMALLOC_FAULTS=f"nth=9,min_size={BIG},max_size={BIG + 99}")
        self.assertEqual(done.returncode, 0)
        self.assertIn("pimalloc: rule 1 of PIMALLOC_FAULTS: 5 requests matched, 0 of them failed\n",
                      done.stderr)

    def test_bad_rules_of_the_environment(self):
        done = support.run_python("print(7)", PIMALLOC_FAULTS="every=1,size=3")
        self.assertEqual((done.returncode, done.stdout), (0, "7\n"))
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("bad value in PIMALLOC_FAULTS=every=1,size=3; valid is KEY=", done.stderr)


if __name__ == "__main__":
    support.main()
