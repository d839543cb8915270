"""Profiles from Python: begun, read, saved, compared, and sampled in each interpreter."""

import gzip
import os
import re
import tempfile
import tracemalloc
import unittest
import warnings
from pathlib import Path

import pimalloc
import support
from support import interpreter

MIB = 1 << 20


def things(count):
    return [str(i) * 20 for i in range(count)]


@support.needs_active
class Profiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def tearDown(self):
        if pimalloc.profile()["period"] is not None:
            pimalloc.profile_stop()

    def folded(self):
        """Bytes by stack."""
        pimalloc.profile_save(self.folder / "folded", "folded")
        text = (self.folder / "folded").read_text(encoding="utf-8")
        return [(stack, int(number)) for stack, number in
                re.findall(r"^(.*) (\d+)$", text, re.M)]

    def test_begin_and_end(self):
        self.assertIsNone(pimalloc.profile()["period"])
        self.assertIsNone(pimalloc.profile_start())
        figures = pimalloc.profile()
        self.assertEqual(figures["period"], 512 << 10)
        self.assertEqual(set(figures), {"period", "samples", "dropped", "live_bytes", "total_bytes"})
        with self.assertRaisesRegex(RuntimeError, "runs already"):
            pimalloc.profile_start()
        self.assertIsNone(pimalloc.profile_stop())
        with self.assertRaisesRegex(RuntimeError, "there is no profile"):
            pimalloc.profile_stop()

    def test_estimates_and_stacks(self):
        pimalloc.profile_start(16 << 10, frames=8)
        kept = things(200_000)
        size = sum(map(len, kept))
        figures = pimalloc.profile()
        self.assertGreater(figures["samples"], 1000)
        self.assertGreater(figures["live_bytes"], size)
        self.assertLess(figures["live_bytes"], 2 * size)
        self.assertGreaterEqual(figures["total_bytes"], figures["live_bytes"])
        here = sum(number for stack, number in self.folded() if "things (" in stack)
        self.assertGreater(here, size)
        line = things.__code__.co_firstlineno + 1
        self.assertTrue(any(f"things ({__file__}:{line})" in stack for stack, _ in self.folded()))
        kept.clear()
        after = pimalloc.profile()
        self.assertLess(after["live_bytes"], size / 2)
        self.assertGreaterEqual(after["total_bytes"], figures["total_bytes"])

    def test_each_form(self):
        pimalloc.profile_start(4096)
        kept = things(20_000)
        begins = {"html": b"<!", "pprof": b"\x1f\x8b", "folded": b"main;", "speedscope": b"{"}
        for form, begin in begins.items():
            path = self.folder / form
            self.assertIsNone(pimalloc.profile_save(os.fsencode(path), format=form))
            self.assertTrue(path.read_bytes().lower().startswith(begin), form)
        pimalloc.profile_stop()
        pimalloc.profile_save(self.folder / "%p.pb.gz", "pprof")
        data = (self.folder / f"{os.getpid()}.pb.gz").read_bytes()
        self.assertIn(b"inuse_space", gzip.decompress(data))
        self.assertEqual(len(kept), 20_000)

    def compares(self):
        pimalloc.profile_save(self.folder / "page")
        return '"then": null' not in (self.folder / "page").read_text(encoding="utf-8")

    def test_a_page_compares_with_the_marked_moment(self):
        pimalloc.profile_start(4096)
        self.assertFalse(self.compares())
        self.assertIsNone(pimalloc.profile_mark())
        self.assertTrue(self.compares())
        pimalloc.profile_stop()
        self.assertTrue(self.compares())
        pimalloc.profile_start(4096)  # the moment is of another profile
        self.assertFalse(self.compares())

    def test_each_interpreter(self):
        pimalloc.profile_start(4096)
        with interpreter() as one, interpreter() as other:
            for each in one, other:
                each.run("kept = [str(i) * 20 for i in range(20_000)]")
            stacks = self.folded()
            for each in one, other:
                own = sum(n for stack, n in stacks if stack.startswith(f"interp {each.id};"))
                self.assertGreater(own, MIB)

    def test_a_snapshot_is_of_the_standard_module(self):
        pimalloc.profile_start(4096)
        before = pimalloc.profile_snapshot()
        kept = things(20_000)
        snapshot = pimalloc.profile_snapshot()
        self.assertIsInstance(snapshot, tracemalloc.Snapshot)
        top = snapshot.compare_to(before, "lineno")[0]
        line = things.__code__.co_firstlineno + 1
        self.assertEqual((top.traceback[0].filename, top.traceback[0].lineno), (__file__, line))
        whole = sum(statistic.size for statistic in snapshot.statistics("lineno"))
        self.assertAlmostEqual(whole / pimalloc.profile()["live_bytes"], 1, delta=0.1)
        self.assertEqual(len(kept), 20_000)

    def test_only_main_begins_and_ends_it(self):
        pimalloc.profile_start(4096)
        with interpreter() as one:
            for call in ("profile_start(4096)", "profile_stop()", "profile_mark()",
                         "record_start('x')", "record_stop()"):
                self.assertEqual(one.run("import pimalloc\n"
                                         f"try: pimalloc.{call}\n"
                                         "except PermissionError as error: result = str(error)\n"
                                         "else: result = 'it may'")[:26],
                                 "only the main interpreter ", call)
            self.assertEqual(one.run("result = pimalloc.profile()['period']"), 4096)
        self.assertEqual(pimalloc.profile()["period"], 4096)

    def test_frames_are_as_many_as_asked_for(self):
        def down(n):
            return down(n - 1) if n else things(20_000)
        pimalloc.profile_start(4096, 3)
        kept = down(20)
        deep = [stack for stack, _ in self.folded() if "things" in stack]
        self.assertTrue(deep)
        for stack in deep:
            self.assertIn("[older frames]", stack)
            self.assertLessEqual(stack.count(";"), 4)
        self.assertEqual(len(kept), 20_000)

    def test_a_forked_child_begins_anew(self):
        pimalloc.profile_start(4096)
        kept = things(20_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            few = pimalloc.profile()["samples"] < 100
            more = things(20_000)
            kept.clear()
            many = pimalloc.profile()["samples"] > 100
            live = pimalloc.profile()["live_bytes"]
            os._exit(0 if few and many and MIB < live < 10 * MIB and more else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_wrong_arguments(self):
        for bad in ({"period": 1023}, {"period": (1 << 40) + 1}, {"period": 0}, {"period": -1},
                    {"frames": 0}, {"frames": 257}, {"frames": -1}):
            with self.assertRaises(ValueError, msg=bad):
                pimalloc.profile_start(**bad)
        for bad in ({"period": "1"}, {"frames": 1.5}, {"periods": 1}):
            with self.assertRaises(TypeError, msg=bad):
                pimalloc.profile_start(**bad)
        for bad in ({"period": 1 << 64}, {"frames": 1 << 40}):
            with self.assertRaises(OverflowError, msg=bad):
                pimalloc.profile_start(**bad)
        pimalloc.profile_start()
        with self.assertRaisesRegex(ValueError, "valid are html"):
            pimalloc.profile_save(self.folder / "x", "svg")
        with self.assertRaises(FileNotFoundError) as caught:
            pimalloc.profile_save(self.folder / "none" / "x")
        self.assertIn("none", os.fsdecode(caught.exception.filename))
        for bad in (None, 1):
            with self.assertRaises(TypeError):
                pimalloc.profile_save(bad)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_without_a_profile(self):
        code = ("import pimalloc\n"
                "for call in pimalloc.profile_mark, lambda: pimalloc.profile_save('x'), "
                "pimalloc.profile_stop:\n"
                "    try: call()\n"
                "    except RuntimeError as e: assert 'there is no profile' in str(e)\n"
                "    else: raise SystemExit(1)\n"
                "assert pimalloc.profile() == dict(period=None, samples=0, dropped=0, "
                "live_bytes=0, total_bytes=0)\n")
        done = support.run_python(code)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    support.main()
