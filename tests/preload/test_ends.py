"""The ways in which a process ends, and what its end must survive."""

import sys
import unittest

import support
from support import GUARD, PRELOAD, WORK, build, python, run


class Ends(support.TestCase):
    def assert_same(self, code, status, figures=True, **options):
        plain = python("-c", WORK + code, libraries=(), **options)
        self.assertEqual(plain.status, status, str(plain))
        done = python("-c", WORK + code, libraries=(PRELOAD, GUARD), **options)
        self.assertEqual((done.status, done.stdout), (plain.status, plain.stdout), str(done))
        if figures:
            self.assert_served(done)
        else:
            self.assertEqual(done.figures, {}, str(done))
        return done

    def test_the_guard_sees_what_it_is_for(self):
        done = python("-c", "import ctypes, resource\n"
                      "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
                      "ctypes.CDLL(None).free(ctypes.c_void_p(id([1])))",
                      libraries=(PRELOAD, GUARD))
        self.assertEqual(done.status, -6, str(done))
        self.assertIn("guard: a block of pimalloc's", done.stderr)

    def test_exit_in_a_thread_ends_the_thread(self):
        self.assert_same("import sys, threading\n"
                         "thread = threading.Thread(target=sys.exit, args=(9,))\n"
                         "thread.start(); thread.join()\n", 0)

    def test_leaving_at_once(self):
        self.assert_same("import os; os._exit(6)\n", 6, figures=False)

    def test_exit_of_libc(self):
        # Without Py_Finalize(): the interpreter is alive when we tell its figures.
        self.assert_same("import ctypes; ctypes.CDLL(None).exit(5)\n", 5)
        self.assert_same("import ctypes, threading\n"
                         "thread = threading.Thread(target=ctypes.CDLL(None).exit, args=(5,))\n"
                         "thread.start(); thread.join()\n", 5)
        self.assert_same("import ctypes; ctypes.CDLL(None).quick_exit(5)\n", 5, figures=False)

    def test_deaths_by_signal(self):
        start = "import os, resource, signal\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        for number in ("SIGTERM", "SIGKILL", "SIGSEGV", "SIGABRT"):
            with self.subTest(number):
                import signal
                self.assert_same(start + f"os.kill(os.getpid(), signal.{number})\n",
                                 -getattr(signal, number), figures=False)
        self.assert_same(start + "os.abort()\n", -6, figures=False)

    def test_daemon_threads_that_run_at_the_end(self):
        for work in ("[[i] for i in range(1000)]", "time.sleep(0.0001)",
                     "bytearray(3 << 20)", "threading.Thread(target=list).start()"):
            with self.subTest(work):
                code = ("import threading, time\n"
                        "def work():\n"
                        f"    while True: {work}\n"
                        "for _ in range(4): threading.Thread(target=work, daemon=True).start()\n"
                        "time.sleep(0.05)\n")
                for _ in range(5):
                    done = python("-c", WORK + code, libraries=(PRELOAD, GUARD))
                    # CPython itself may say that it cannot start threads any more.
                    self.assertEqual(done.status, 0, str(done))
                    self.assert_served(done)

    def test_callbacks_that_allocate(self):
        self.assert_same("import atexit, threading, weakref\n"
                         "def work(): kept.append([[i] for i in range(20000)])\n"
                         "atexit.register(work)\n"
                         "threading._register_atexit(work)\n"
                         "class C:\n    def __del__(self): [[i] for i in range(9999)]\n"
                         "cycle = C(); cycle.me = cycle\n"
                         "weakref.finalize(cycle, work)\n", 0)

    def test_callbacks_of_libc(self):
        # They run after Python's end and after what came with it.
        self.assert_same("import ctypes\n"
                         "callback = ctypes.CFUNCTYPE(None)(lambda: None)\n"
                         "libc = ctypes.CDLL(None)\n"
                         "api = ctypes.pythonapi\n"
                         "api.PyMem_RawMalloc.restype = ctypes.c_void_p\n"
                         "block = api.PyMem_RawMalloc(ctypes.c_size_t(100))\n"
                         "libc.on_exit(ctypes.cast(api.PyMem_RawFree, ctypes.c_void_p), None)\n", 0)

    def test_blocks_that_are_freed_after_our_end(self):
        # A static object's destructor, of a library that was there before ours.
        done = run(build("LAST_HOST"), libraries=(PRELOAD, GUARD))
        self.assertEqual((done.status, done.stdout), (0, "freed\n"), str(done))
        self.assert_served(done)

    def test_the_end_with_subinterpreters_left(self):
        if sys.version_info < (3, 13):
            self.skipTest("3.12 aborts by itself")
        self.assert_same("import _interpreters\n"
                         "one = _interpreters.create('legacy')\n"
                         "_interpreters.run_string(one, 'kept = list(range(10000))')\n", 0)


if __name__ == "__main__":
    unittest.main()
