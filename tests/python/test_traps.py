"""What broke other tracers, by name: each under a trace with 25 frames and a profile that
samples nearly every block, at once."""

import gc
import json
import os
import resource
import sys
import tempfile
import threading
import tracemalloc
import unittest

import pimalloc
import support


class Traps(unittest.TestCase):
    def setUp(self):
        pimalloc.profile_start(1024, 25)
        pimalloc.trace_start(25)

    def tearDown(self):
        pimalloc.trace_stop()
        pimalloc.profile_stop()

    def test_frames_freed_inside_the_hook(self):
        # Frames become objects and die while others allocate and free.
        def deep(n):
            frame = sys._getframe()
            return deep(n - 1) if n else [frame.f_lineno for _ in range(10)]

        def generators(n):
            made = [(str(i) + str(j) for j in range(3)) for i in range(n)]
            return [next(each) for each in made]  # closed half-way

        for _ in range(200):
            self.assertEqual(len(set(deep(20))), 1)
            self.assertEqual(len(generators(20)), 20)

    def test_gil_released_inside(self):
        # Nobody else's frames are in a stack, however often threads take turns.
        def one(kept):
            for i in range(3000):
                kept.append(["one", str(i) * 20])

        def other(kept):
            for i in range(3000):
                kept.append(["other", str(i) * 20])

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            lists = [], []
            threads = [threading.Thread(target=work, args=(kept,))
                       for work, kept in zip((one, other), lists)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        for work, kept in zip((one, other), lists):
            lines = {pimalloc.get_object_traceback(each[1])[-1].lineno for each in kept}
            self.assertEqual(lines, {work.__code__.co_firstlineno + 2})

    def test_a_collection_during_a_realloc(self):
        class Node:
            def __init__(self):
                self.me = self
                self.kept = [bytes(300)]

            def __del__(self):
                self.kept.append(str(len(self.kept)))

        class Grown(list):  # none of which comes from a free list
            pass

        before = gc.get_threshold()
        gc.set_threshold(5)
        try:
            grown = Grown()
            for i in range(5000):
                grown.append(i)
                Node()
        finally:
            gc.set_threshold(*before)
        gc.collect()
        line = self.test_a_collection_during_a_realloc.__code__.co_firstlineno
        trace = pimalloc.get_object_traceback(grown)
        self.assertIn(trace[-1].lineno - line, range(25))
        self.assertEqual(grown, list(range(5000)))

    def test_the_error_indicator_is_left_alone(self):
        for i in range(3000):
            try:
                {"x": 1}[f"key {i}"]
            except KeyError as error:
                self.assertEqual(error.args, (f"key {i}",))
            with self.assertRaises(json.JSONDecodeError):
                json.loads("[" * (i % 20 + 1))

    def test_no_utf8_cache_is_filled(self):
        name = "ümläut-\N{SNOWMAN}.py"
        space = {}
        exec(compile("def f(n):\n    return [str(i) * 9 for i in range(n)]", name, "exec"), space)
        code = space["f"].__code__
        before = [sys.getsizeof(text) for text in (code.co_filename, code.co_qualname)]
        kept = space["f"](1000)
        self.assertEqual(pimalloc.get_object_traceback(kept[500])[-1].filename, name)
        self.assertEqual([sys.getsizeof(text) for text in (code.co_filename, code.co_qualname)],
                         before)

    def test_a_map_that_is_stale_after_fork(self):
        kept = [str(i) * 30 for i in range(1000)]
        child = os.fork()
        if child == 0:
            status = 1
            try:
                before = pimalloc.get_traced_memory()[0]
                line = sys._getframe().f_lineno + 1
                mine = [str(i) * 40 for i in range(1000)]
                ok = pimalloc.get_object_traceback(mine[7])[-1].lineno == line
                ok = ok and pimalloc.get_traced_memory()[0] > before
                kept.clear()
                mine.clear()
                ok = ok and pimalloc.get_traced_memory()[0] < before
                status = not ok
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(len(kept), 1000)

    def test_a_saved_table_is_whole_or_not_there(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "profile.folded")
            kept = [str(i) * 30 for i in range(1000)]
            pimalloc.profile_save(path, "folded")
            with open(path) as file:
                whole = file.read()
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
            try:
                with self.assertRaises(OSError):
                    pimalloc.profile_save(path, "folded")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            with open(path) as file:
                self.assertEqual(file.read(), whole)
            self.assertEqual(os.listdir(folder), ["profile.folded"])
            self.assertEqual(len(kept), 1000)

    def test_two_layers_that_sample_one_block(self):
        tracemalloc.start(5)
        try:
            before = pimalloc.get_traced_memory()[0], tracemalloc.get_traced_memory()[0]
            estimate = pimalloc.profile()["live_bytes"]
            kept = [bytes(5000) for _ in range(400)]  # each sampled, traced by both
            for each in kept[::50]:
                self.assertEqual(pimalloc.get_object_traceback(each)[-1].lineno,
                                 tracemalloc.get_object_traceback(each)[-1].lineno)
            for now, then in zip((pimalloc.get_traced_memory()[0],
                                  tracemalloc.get_traced_memory()[0]), before):
                self.assertGreaterEqual(now - then, 400 * 5000)
                self.assertLess(now - then, 400 * 5000 * 1.2)
            self.assertGreater(pimalloc.profile()["live_bytes"] - estimate, 400 * 5000 * 0.9)
            kept.clear()
            self.assertLess(pimalloc.get_traced_memory()[0] - before[0], 400_000)
            self.assertLess(pimalloc.profile()["live_bytes"] - estimate, 400_000)
        finally:
            tracemalloc.stop()


if __name__ == "__main__":
    support.main()
