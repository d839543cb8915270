"""PIMALLOC_DEBUG=1: CPython's debug hooks over our blocks."""

import sys
import unittest

import support
from support import GUARD, PRELOAD, WORK, build, python, run

# A block's first bytes beyond its end are the hooks' to guard.
OVERFLOW = """
import ctypes, os, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
api = ctypes.pythonapi
for name in ('PyMem_RawMalloc', 'PyMem_Malloc', 'PyObject_Malloc'):
    getattr(api, name).restype = ctypes.c_void_p
    getattr(api, name).argtypes = [ctypes.c_size_t]
    getattr(api, name.replace('Malloc', 'Free')).argtypes = [ctypes.c_void_p]
name = os.environ['DOMAIN']
block = getattr(api, name)(SIZE)
ctypes.memset(block + AT, 0x41, 1)
getattr(api, name.replace('Malloc', 'Free'))(block)
print('not noticed', flush=True)
os._exit(0)
"""
DOMAINS = {"PyMem_RawMalloc": "r", "PyMem_Malloc": "m", "PyObject_Malloc": "o"}


def overflow(size, at):
    return OVERFLOW.replace("SIZE", str(size)).replace("AT", str(at))


class Debug(support.TestCase):
    def test_an_overflow_is_reported_and_ends_the_process(self):
        for domain, letter in DOMAINS.items():
            for size in (8, 100, 5000, 100_000, 3 << 20):
                for at in (size, -1):
                    with self.subTest(domain=domain, size=size, at=at):
                        done = python("-c", overflow(size, at), DOMAIN=domain, PIMALLOC_DEBUG="1")
                        self.assertEqual(done.status, -6, str(done))
                        self.assertIn("Debug memory block at address", done.stderr)
                        self.assertIn(f"API '{letter}'", done.stderr)
                        self.assertNotIn("not noticed", done.stdout)

    @unittest.skipIf(hasattr(sys, "gettotalrefcount"), "a debug build has hooks of its own")
    def test_without_hooks_nobody_looks(self):
        done = python("-c", overflow(100, 100), DOMAIN="PyObject_Malloc")
        self.assertEqual(done.stdout, "not noticed\n", str(done))

    def test_it_is_a_block_of_ours_under_the_hooks(self):
        code = ("import ctypes\n"
                "library = ctypes.CDLL(None); owner = library.pimalloc_owner\n"
                "interp = ctypes.c_int64(-5)\n"
                "print(owner(ctypes.c_void_p(id([])), ctypes.byref(interp)), interp.value,\n"
                "      library.pimalloc_active())\n")
        for arguments in ([], ["-X", "tracemalloc"], ["-X", "tracemalloc=20"]):
            for debug in ("0", "1"):
                with self.subTest(arguments=arguments, debug=debug):
                    done = python(*arguments, "-c", WORK + code, PIMALLOC_DEBUG=debug)
                    self.assertEqual(done.stdout, "0 0 1\n", str(done))
                    self.assert_served(done)
                    self.assertEqual(done.stderr, "")

    def test_a_wrong_domain_is_noticed(self):
        code = ("import ctypes, resource\n"
                "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
                "api = ctypes.pythonapi\n"
                "api.PyMem_Malloc.restype = ctypes.c_void_p\n"
                "api.PyObject_Free(ctypes.c_void_p(api.PyMem_Malloc(100)))\n")
        done = python("-c", code, PIMALLOC_DEBUG="1")
        self.assertEqual(done.status, -6, str(done))
        self.assertIn("bad ID", done.stderr)

    def test_tracemalloc_and_hooks_through_cycles(self):
        script = ("import tracemalloc\n"
                  "if not tracemalloc.is_tracing(): tracemalloc.start(5)\n"
                  + WORK + "assert tracemalloc.get_traced_memory()[0] > 100_000\n"
                  "tracemalloc.stop(); kept.clear(); tracemalloc.start()\n")
        for debug in ("0", "1"):
            done = run(build("HOST"), "global:" + build("LIBPYTHON"), "initialize", "3", script,
                       libraries=(PRELOAD, GUARD), PIMALLOC_DEBUG=debug)
            self.assertEqual(done.status, 0, str(done))
            self.assert_served(done)
            self.assertEqual(done.stdout.count("active 1, owner 0"), 3, str(done))

    def test_threads_and_children(self):
        code = (WORK + "import os, threading\n"
                "threads = [threading.Thread(target=lambda: [[i] for i in range(9999)])\n"
                "           for _ in range(8)]\n"
                "[t.start() for t in threads]; [t.join() for t in threads]\n"
                "pid = os.fork()\n"
                "if pid: assert os.waitpid(pid, 0)[1] == 0\n"
                "else: [[i] for i in range(9999)]\n")
        done = python("-W", "ignore", "-c", code, PIMALLOC_DEBUG="1")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual(len(done.figures), 2)


if __name__ == "__main__":
    unittest.main()
