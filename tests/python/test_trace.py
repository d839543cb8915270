"""Traces from Python: figures, snapshots, labels, in every interpreter."""

import collections
import contextlib
import ctypes
import gc
import os
import pickle
import subprocess
import sys
import tempfile
import tracemalloc
import unittest

import pimalloc
import support

NEWER = sys.version_info >= (3, 13)  # has a reference tracer
WINDOW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "window.py")
NOT_MINE = (__file__, tracemalloc.__file__, pickle.__file__)


@contextlib.contextmanager
def traced(nframe=1, **options):
    pimalloc.trace_start(nframe, **options)
    try:
        yield
    finally:
        pimalloc.trace_stop(options.get("interp"))


class Case(unittest.TestCase):
    def tearDown(self):
        for interp in (pimalloc.EACH, None):  # where the test failed
            pimalloc.trace_stop(interp)


def here():
    return sys._getframe(1).f_lineno


def frames_of(snapshot):
    return [trace[2] for trace in snapshot.traces._traces]


class Figures(Case):
    def test_start_and_stop(self):
        self.assertFalse(pimalloc.is_tracing())
        with traced():
            self.assertTrue(pimalloc.is_tracing())
            self.assertFalse(pimalloc.is_tracing(pimalloc.EACH))
            self.assertRaises(RuntimeError, pimalloc.trace_start)
            self.assertRaises(RuntimeError, pimalloc.trace_start, interp=pimalloc.EACH)
        self.assertFalse(pimalloc.is_tracing())
        pimalloc.trace_stop()  # as tracemalloc.stop()
        self.assertEqual(pimalloc.get_trace_memory(), 0)
        self.assertEqual(pimalloc.get_traced_memory(), (0, 0))
        self.assertRaises(RuntimeError, pimalloc.take_snapshot)
        self.assertRaises(RuntimeError, pimalloc.clear_traces)

    def test_all(self):
        with traced(interp=pimalloc.EACH):
            self.assertTrue(pimalloc.is_tracing())
            self.assertTrue(pimalloc.is_tracing(pimalloc.PROCESS))
            with self.assertRaisesRegex(RuntimeError, "with all others"):
                pimalloc.trace_stop()
            self.assertTrue(pimalloc.is_tracing())

    def test_bad_arguments(self):
        for nframe in (0, -1, 257, 1 << 30):
            self.assertRaises(ValueError, pimalloc.trace_start, nframe)
        self.assertRaises(ValueError, pimalloc.trace_start, interp=12345)
        self.assertRaises(TypeError, pimalloc.trace_start, interp="main")
        self.assertRaises(TypeError, pimalloc.trace_start, "1")
        self.assertRaises(TypeError, pimalloc.take_snapshot, "main")
        self.assertFalse(pimalloc.is_tracing())

    def test_memory_is_the_sum_of_traces(self):
        with traced():
            before = pimalloc.get_traced_memory()[0]
            kept = [bytes(1000) for _ in range(1000)]
            large = bytes(5 << 20)
            now, peak = pimalloc.get_traced_memory()
            self.assertGreaterEqual(now - before, (5 << 20) + 1033 * 1000)
            self.assertLess(now - before, (5 << 20) + 1100 * 1000)
            self.assertGreaterEqual(peak, now)
            del kept, large
            self.assertLess(pimalloc.get_traced_memory()[0], before + 10000)
            self.assertGreaterEqual(pimalloc.get_traced_memory()[1], peak)
            pimalloc.reset_peak()
            self.assertLess(pimalloc.get_traced_memory()[1], before + 10000)
            self.assertGreater(pimalloc.get_trace_memory(), 0)

    def test_clear(self):
        with traced():
            kept = [bytes(1000) for _ in range(100)]
            pimalloc.clear_traces()
            self.assertLess(pimalloc.get_traced_memory()[0], 10000)
            self.assertIsNone(pimalloc.get_object_traceback(kept[0]))
            new = bytes(1000)
            self.assertIsNotNone(pimalloc.get_object_traceback(new))
            del kept[:]  # what was forgotten is freed
            self.assertLess(pimalloc.get_traced_memory()[0], 10000)

    def test_a_thousand_starts(self):
        for i in range(1000):
            pimalloc.trace_start(1 + i % 3)
            kept = [str(i)]
            pimalloc.trace_stop()
        self.assertEqual(kept, ["999"])
        self.assertEqual(pimalloc.get_trace_memory(), 0)


class Snapshots(Case):
    def test_it_is_one_of_tracemalloc(self):
        with traced(3):
            kept, line = [bytes(1000 + i) for i in range(50)], here()
            snapshot = pimalloc.take_snapshot()
        self.assertIs(type(snapshot), tracemalloc.Snapshot)
        self.assertEqual(snapshot.traceback_limit, 3)
        mine = [s for s in snapshot.statistics("lineno")
                if (s.traceback[0].filename, s.traceback[0].lineno) == (__file__, line)]
        self.assertEqual(len(mine), 1)
        self.assertIn(mine[0].count, (51, 52))  # the list may be from a free list
        self.assertGreaterEqual(mine[0].size, sum(map(sys.getsizeof, kept)))
        self.assertTrue(all(trace.domain == 0 for trace in snapshot.traces))
        self.assertEqual({len(frames) for frames in frames_of(snapshot)} - {1, 2, 3}, set())

    def test_what_is_built_is_not_in_it(self):
        with traced():
            pimalloc.take_snapshot()
            kept, line = [bytes(100) for _ in range(2000)], here()
            first = pimalloc.take_snapshot()
        lines = {frames[0][1] for frames in frames_of(first) if frames[0][0] == __file__}
        self.assertIn(line, lines)
        self.assertNotIn(line + 1, lines)
        self.assertEqual(len(kept), 2000)

    def test_equal_stacks_are_one_tuple(self):
        with traced(2):
            kept = [bytes(100) for _ in range(100)]
            snapshot = pimalloc.take_snapshot()
        self.assertEqual(len({id(frames) for frames in frames_of(snapshot)}),
                         len(set(frames_of(snapshot))))
        self.assertEqual(len(kept), 100)

    def test_total_nframe_is_that_of_the_whole_stack(self):
        def deep(n):
            return deep(n - 1) if n else bytes(1000)

        with traced(4):
            kept = deep(30)
            traceback = pimalloc.get_object_traceback(kept)
        self.assertEqual(len(traceback), 4)
        self.assertGreater(traceback.total_nframe, 30)
        self.assertIs(type(traceback), tracemalloc.Traceback)
        self.assertEqual(traceback[-1].filename, __file__)

    def test_objects(self):
        class Plain:
            pass

        with traced():
            kept = [Plain(), "x" * 9999, bytearray(2 << 20), {1, 2}, int("9" * 50), lambda: 0]
            first = here() - 1
            for one in kept:
                self.assertEqual(pimalloc.get_object_traceback(one)[0].lineno, first, type(one))
            for one in (None, 1, "", (), int, sys, Plain):
                self.assertIsNone(pimalloc.get_object_traceback(one))

    def test_compare_filter_dump_load(self):
        with traced(2):
            kept, line = [bytes(1000) for _ in range(10)], here()
            old = pimalloc.take_snapshot()
            kept, more = [kept, [bytes(3000) for _ in range(20)]], here()
            new = pimalloc.take_snapshot()
        grown = {s.traceback[0].lineno: s.count_diff for s in new.compare_to(old, "lineno")
                 if s.traceback[0].filename == __file__}
        self.assertGreaterEqual(grown[more], 20)
        self.assertEqual(grown.get(line, 0), 0)
        mine = new.filter_traces([tracemalloc.Filter(True, __file__, more)])
        self.assertGreaterEqual(len(mine.traces), 20)
        self.assertEqual({t.traceback[-1].lineno for t in mine.traces}, {more})
        none = new.filter_traces([tracemalloc.DomainFilter(False, 0)])
        self.assertEqual(len(none.traces), 0)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "snapshot")
            new.dump(path)
            loaded = tracemalloc.Snapshot.load(path)
        self.assertEqual(loaded.traces._traces, new.traces._traces)
        self.assertEqual(loaded.traceback_limit, 2)
        self.assertEqual(loaded.compare_to(new, "traceback")[0].size_diff, 0)

    def test_generated_code_is_named_by_its_own_name(self):
        addresses = set()
        with traced():
            for i in range(3000):
                space = {}
                exec(compile(f"{chr(10) * (i % 50)}def f(): return bytes(777)", f"<made {i}>",
                             "exec"), space)
                kept = space["f"]()
                addresses.add(id(space["f"].__code__))
                frame = pimalloc.get_object_traceback(kept)[0]
                self.assertEqual((frame.filename, frame.lineno), (f"<made {i}>", 1 + i % 50))
        self.assertLess(len(addresses), 2500)  # they came back

    def test_names_that_are_not_ascii(self):
        for name in ("<größe>", "<大きさ>", "<\U0001f600>", "<a\ud800b>", "<" + "é" * 3000 + ">"):
            space = {}
            exec(compile("def f(): return bytes(777)", name, "exec"), space)
            with traced():
                kept = space["f"]()
                found = pimalloc.get_object_traceback(kept)[0].filename
            self.assertTrue(name.replace("\ud800", "?").startswith(found), found[:20])
            self.assertGreater(len(found), 2)

    def test_while_threads_run(self):
        import threading
        stop = []

        def work():
            kept = []
            while not stop:
                kept = [str(i) * (i % 20) for i in range(300)] + kept[:100]

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for i in range(30):
                with traced(1 + i):
                    kept = list(map(str, range(1000)))
                    self.assertGreaterEqual(len(pimalloc.take_snapshot().traces), len(kept))
        finally:
            stop.append(1)
            for thread in threads:
                thread.join()


IN_ONE = """
import pimalloc, sys
pimalloc.trace_start(2)
kept = [bytes(1000 + i) for i in range(50)]
snapshot = pimalloc.take_snapshot()
top = snapshot.statistics('lineno')[0]
path = {path!r}
snapshot.dump(path)
loaded = type(snapshot).load(path)
old = snapshot
kept.append([bytes(2000) for i in range(70)])
grown = [s for s in pimalloc.take_snapshot().compare_to(old, 'lineno')
         if s.traceback[0].filename == top.traceback[0].filename][0]
result = [type(snapshot).__module__, top.count, top.traceback[0].lineno,
          '_tracemalloc' in sys.modules, loaded.traces._traces == snapshot.traces._traces,
          grown.count_diff, grown.traceback[0].lineno,
          len(pimalloc.get_object_traceback(kept[0]))]
"""


class Interpreters(Case):
    def check(self, legacy):
        with support.interpreter(legacy) as one, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "snapshot")
            found = one.run(IN_ONE.format(path=path))
            top = found[1]
            self.assertIn(top, (51, 52))  # the list may be from a free list
            self.assertEqual(found[:3], ["tracemalloc", top, 5])
            self.assertEqual(found[3:5], [legacy, True])
            self.assertGreaterEqual(found[5], 70)
            self.assertEqual(found[6:], [12, 1])
            self.assertEqual(tracemalloc.Snapshot.load(path).statistics("lineno")[0].count, top)
            owner = 0 if legacy else one.id
            self.assertTrue(pimalloc.is_tracing(one.id))
            seen = pimalloc.take_snapshot(owner).statistics("lineno")
            self.assertGreater(seen[0].size, 0)
            self.assertEqual(pimalloc.is_tracing(), legacy)
            pimalloc.trace_stop(one.id)

    def test_isolated(self):
        self.check(False)
        self.assertIs(sys.modules["tracemalloc"], tracemalloc)
        tracemalloc.start()  # which is the real one
        stop_tracemalloc()

    def test_legacy(self):
        self.check(True)

    def test_the_stand_in_says_what_it_is(self):
        with support.interpreter() as one:
            answer = one.run("""
import pimalloc
pimalloc.trace_start()
pimalloc.take_snapshot()
import tracemalloc
result = [tracemalloc.is_tracing(), tracemalloc.get_traced_memory(),
          tracemalloc.get_traceback_limit(), tracemalloc.get_object_traceback(result)]
try:
    tracemalloc.start()
except RuntimeError as e:
    result.append(str(e))
try:
    tracemalloc.take_snapshot()
except RuntimeError as e:
    result.append(str(e))
""")
            self.assertEqual(answer[:4], [False, [0, 0], 1, None])
            self.assertIn("pimalloc.trace_start()", answer[4])

    def test_all_at_once(self):
        with traced(interp=pimalloc.EACH), support.interpreter() as one:
            one.run("kept = [bytes(1000) for i in range(500)]")
            mine = pimalloc.get_traced_memory()[0]
            theirs = pimalloc.get_traced_memory(one)[0]
            self.assertGreater(theirs, 500000)
            together = pimalloc.get_traced_memory(pimalloc.EACH)[0]
            self.assertGreaterEqual(together, theirs + mine - 100000)
            self.assertGreater(len(pimalloc.take_snapshot(pimalloc.EACH).traces),
                               len(pimalloc.take_snapshot(one.id).traces))
            pimalloc.take_snapshot(pimalloc.PROCESS)

    def test_one_that_ends_while_it_is_traced(self):
        for _ in range(40):  # more than there is room for at once
            one = support.Interpreter()
            one.run("import pimalloc; pimalloc.trace_start(5); kept = list(map(str, range(999)))")
            one.close()
        self.assertFalse(pimalloc.is_tracing())
        self.assertFalse(pimalloc.is_tracing(one.id))
        with traced(interp=pimalloc.EACH):
            pass
        self.assertEqual(pimalloc.get_trace_memory(), 0)


def tracer_now():
    get = ctypes.pythonapi.PyRefTracer_GetTracer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.c_void_p]
    return get(ctypes.byref(ctypes.c_void_p()))


def stop_tracemalloc():
    tracemalloc.stop()
    if NEWER:  # 3.13.0 leaves its tracer there
        ctypes.pythonapi.PyRefTracer_SetTracer(None, None)


class Relabel(Case):
    @unittest.skipIf(NEWER, "has a reference tracer")
    def test_312_has_no_tracer(self):
        with self.assertRaisesRegex(RuntimeError, "3.13"):
            pimalloc.trace_start(relabel=True)
        self.assertFalse(pimalloc.is_tracing())

    @unittest.skipUnless(NEWER, "has no reference tracer")
    def test_objects_from_free_lists(self):
        for relabel in (False, True):
            with traced(relabel=relabel):
                kept, first = [float(i) for i in range(500)], here()
                del kept
                again, second = [float(i) for i in range(50)], here()
                found = [pimalloc.get_object_traceback(one) for one in again]
                lines = {traceback[0].lineno for traceback in found if traceback}
            self.assertIn(second if relabel else first, lines)
            self.assertEqual(len(lines) == 1 or not relabel, True, lines)
        self.assertIsNone(tracer_now())

    @unittest.skipUnless(NEWER, "has no reference tracer")
    def test_the_slot_is_taken(self):
        tracemalloc.start()
        try:
            with self.assertRaisesRegex(RuntimeError, "taken"):
                pimalloc.trace_start(relabel=True)
            self.assertFalse(pimalloc.is_tracing())
        finally:
            stop_tracemalloc()
        with traced(relabel=True):
            tracemalloc.start()  # takes it from us
            theirs = tracer_now()
            self.assertIsNotNone(theirs)
            pimalloc.trace_stop()
            self.assertEqual(tracer_now(), theirs)  # which is not ours to give
            stop_tracemalloc()

    @unittest.skipUnless(NEWER, "has no reference tracer")
    def test_other_interpreters_and_stops(self):
        with support.interpreter() as one:
            with traced(relabel=True):
                one.run("x = [float(i) for i in range(1000)]; del x")
                one.run("import pimalloc; pimalloc.trace_start(); pimalloc.trace_stop()")
                self.assertIsNotNone(tracer_now())
            with traced(relabel=True, interp=pimalloc.EACH):
                one.run("x = [float(i) for i in range(1000)]; del x")
        self.assertIsNone(tracer_now())


# What CPython keeps on free lists, by its size: tuples, and others of those sizes.
FREE_LISTED = {24, 32, *range(40, 240, 8)}

# Where raw is the process's, a lock of 3.15 and of older ones.
RAW = {1, 32}


def bookkeeping(snapshot):
    """What tracemalloc itself asks our raw domain for and does not trace: a trace, a
    traceback, and in 3.15 the name of a file."""
    names = {file for frames in frames_of(snapshot) for file, _ in frames}
    return {16, *range(24, 24 + 12 * 25, 12), *(len(name.encode()) + 1 for name in names)}


def sizes_by_line(snapshot):
    table = collections.defaultdict(collections.Counter)
    for _, size, frames, _ in snapshot.traces._traces:
        if frames[0][0] not in NOT_MINE:
            table[frames[0]][size] += 1
    return table


def top_lines(table, count=50):
    return sorted(table, key=lambda line: -sum(size * n for size, n in table[line].items()))[:count]


class LikeTracemalloc(Case):
    """The same window seen by both: tracemalloc lies above us and sees what we see."""

    def compare(self, nframe, relabels):
        import window
        window.run()
        take_away = NEWER and ctypes.pythonapi.PyRefTracer_SetTracer
        gc.collect()
        gc.disable()
        try:
            pimalloc.trace_start(nframe, interp=pimalloc.EACH)
            tracemalloc.start(nframe)
            if not relabels:
                take_away(None, None)
            kept = window.run()
            ours = pimalloc.take_snapshot(pimalloc.EACH)
            theirs = tracemalloc.take_snapshot()
        finally:
            stop_tracemalloc()
            pimalloc.trace_stop(pimalloc.EACH)
            gc.enable()
        self.assertTrue(kept)
        theirs_alone = bookkeeping(ours)
        ours, theirs = sizes_by_line(ours), sizes_by_line(theirs)
        lines = set(top_lines(ours)) | set(top_lines(theirs))
        self.assertGreater(len(lines), 20)
        differing = 0
        for line in lines:
            more, less = ours[line] - theirs[line], theirs[line] - ours[line]
            differing += bool(less or set(more) - theirs_alone)
            if relabels:
                self.assertLessEqual(set(more), FREE_LISTED | theirs_alone, line)
                self.assertLessEqual(set(less), FREE_LISTED, line)
            else:
                self.assertLessEqual(set(more), theirs_alone, line)
                self.assertEqual(less, {}, line)
        return differing

    @unittest.skipUnless(NEWER, "tracemalloc's labels cannot be switched off")
    def test_without_new_labels_all_lines_are_equal(self):
        for nframe in (1, 25):
            self.compare(nframe, False)

    def test_with_them_only_what_comes_from_free_lists_differs(self):
        for nframe in (1, 25):
            self.assertGreater(self.compare(nframe, True), 3)

    @unittest.skipUnless(NEWER, "has no reference tracer")
    def test_with_ours_in_another_process_lines_agree(self):
        """Each begins with free lists as its own start left them: few blocks differ, and of
        what another size one of them made once more a single one."""
        tables = []
        for how in ("ours", "theirs"):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "snapshot")
                done = subprocess.run([sys.executable, "-s", "-B", WINDOW, how, path], check=True,
                                      env={**os.environ, "PYTHONHASHSEED": "0"},
                                      timeout=support.SECONDS)
                self.assertEqual(done.returncode, 0)
                tables.append(sizes_by_line(tracemalloc.Snapshot.load(path)))
        ours, theirs = tables
        for line in set(top_lines(ours)) | set(top_lines(theirs)):
            more, less = ours[line] - theirs[line], theirs[line] - ours[line]
            for differ, known in (more, FREE_LISTED), (less, FREE_LISTED | RAW):
                self.assertLessEqual(sum(n for size, n in differ.items() if size not in known),
                                     1, line)
            self.assertLessEqual(sum(more.values()) + sum(less.values()), 5, line)


class FromTheEnvironment(unittest.TestCase):
    CODE = """if 1:
        import pimalloc
        s = pimalloc.take_snapshot(pimalloc.EACH)
        print(s.traceback_limit, pimalloc.is_tracing(),
              any('importlib' in t[2][0][0] for t in s.traces._traces))"""

    def test_it_begins_with_the_first_python_code(self):
        for wanted in ("1", "7"):
            done = support.run_python(self.CODE, PIMALLOC_TRACE=wanted)
            self.assertEqual((done.stdout, done.stderr), (f"{wanted} True True\n", ""))
        for unwanted in ("0", ""):
            done = support.run_python("import pimalloc; print(pimalloc.is_tracing())",
                                      PIMALLOC_TRACE=unwanted)
            self.assertEqual(done.stdout, "False\n")

    def test_it_may_be_stopped_and_children_go_on(self):
        done = support.run_python("""if 1:
            import os, pimalloc
            if os.fork() == 0:
                print(len(pimalloc.take_snapshot().traces) > 1000, flush=True)
                pimalloc.trace_stop(pimalloc.EACH)
                os._exit(0)
            os.wait()
            pimalloc.trace_stop(pimalloc.EACH)
            print(pimalloc.get_trace_memory())""", "-W", "ignore", PIMALLOC_TRACE="3")
        self.assertEqual((done.stdout, done.stderr), ("True\n0\n", ""))


if __name__ == "__main__":
    support.main()
