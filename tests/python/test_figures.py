"""What the figures say is what the program does."""

import gc
import sys
import threading
import time
import tracemalloc
import unittest

import pimalloc
import support

MIB = 1 << 20


def usage(domain="obj", interp=0):
    return pimalloc.stats(interp)["domains"][domain]


@support.needs_active
class Counting(unittest.TestCase):
    def test_a_million_objects_come_and_go(self):
        gc.collect()
        before = usage()
        objects = [object() for _ in range(1_000_000)]
        during = usage()
        grown = during["live_blocks"] - before["live_blocks"]
        self.assertTrue(1_000_000 <= grown < 1_001_000, grown)
        self.assertGreaterEqual(during["live_bytes"] - before["live_bytes"], 16_000_000)
        self.assertGreaterEqual(during["peak_blocks"], during["live_blocks"])
        del objects
        after = usage()
        self.assertLess(abs(after["live_blocks"] - before["live_blocks"]), 1000)
        self.assertGreaterEqual(after["peak_blocks"], during["live_blocks"])

    def test_large_blocks_count_in_their_domain(self):
        before = usage()
        block = bytes(50 * MIB)
        self.assertGreaterEqual(usage()["live_bytes"] - before["live_bytes"], 50 * MIB)
        self.assertLess(usage()["live_bytes"] - before["live_bytes"], 60 * MIB)
        committed = pimalloc.stats(0)["committed_bytes"]
        del block
        self.assertLess(usage()["live_bytes"] - before["live_bytes"], MIB)
        pimalloc.trim()  # freed memory is kept for a while
        self.assertGreaterEqual(committed - pimalloc.stats(0)["committed_bytes"], 45 * MIB)

    def test_layers_on_top_do_not_matter(self):
        tracemalloc.start()
        try:
            self.assertTrue(pimalloc.active())
            self.assertEqual(pimalloc.owner([1]), 0)
            self.assertGreater(usage()["live_blocks"], 1000)
        finally:
            tracemalloc.stop()
        self.assertTrue(pimalloc.active())


@support.needs_active
class Trim(unittest.TestCase):
    def test_memory_goes_back(self):
        gc.collect()
        pimalloc.trim()
        before = support.resident_bytes()
        objects = [bytes(1000) for _ in range(200_000)]
        peak = support.resident_bytes()
        self.assertGreater(peak - before, 190 * MIB)
        del objects
        given = pimalloc.trim()
        after = support.resident_bytes()
        self.assertIs(type(given), int)
        self.assertGreaterEqual(given, 0)
        self.assertLess(after - before, 20 * MIB)
        self.assertLessEqual(pimalloc.trim(), MIB)

    def test_returned_bytes_are_real(self):
        objects = [bytes(1000) for _ in range(3000)]  # too few to go back at once
        del objects
        before = support.resident_bytes()
        given = pimalloc.trim()
        after = support.resident_bytes()
        self.assertLess(abs(given - (before - after)), MIB)
        self.assertGreater(given, 0)

    def test_work_goes_on(self):
        for _ in range(20):
            things = [{"n": i} for i in range(1000)]
            pimalloc.trim()
            self.assertEqual(things[-1], {"n": 999})


@support.needs_active
class Threads(unittest.TestCase):
    SECONDS = 1.0

    def check(self, figures):
        for one in [figures["process"], *figures["interpreters"].values()]:
            for domain in ("mem", "obj"):
                u = one["domains"][domain]
                self.assertLess(u["live_bytes"], 1 << 50)
                self.assertLess(u["live_blocks"], 1 << 40)

    def test_asking_while_others_allocate(self):
        stop = time.monotonic() + self.SECONDS
        errors = []

        def guarded(work):
            def loop():
                try:
                    while time.monotonic() < stop:
                        work()
                except BaseException as error:
                    errors.append(error)
            return loop

        def allocate():
            return [[{"k": i}, bytes(i % 5000), (i,) * 50] for i in range(1000)]

        jobs = [allocate] * 4 + [lambda: self.check(pimalloc.stats())] * 2 + [pimalloc.trim]
        threads = [threading.Thread(target=guarded(job)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_asking_while_other_interpreters_allocate(self):
        work = ("import time, pimalloc\n"
                "stop = time.monotonic() + %f\n"
                "result = 0\n"
                "while not result or time.monotonic() < stop:\n"
                "    things = [[i, str(i)] for i in range(2000)]\n"
                "    pimalloc.stats(); pimalloc.trim()\n"
                "    result += 1\n" % self.SECONDS)
        rounds = []

        def other():
            with support.interpreter() as one:
                rounds.append(one.run(work))

        threads = [threading.Thread(target=other) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.check(pimalloc.stats())
            pimalloc.interpreters()
            pimalloc.trim()
        for thread in threads:
            thread.join()
        self.assertEqual(len(rounds), 3)
        self.assertTrue(all(rounds), rounds)


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    support.main()
