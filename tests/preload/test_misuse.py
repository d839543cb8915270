"""PIMALLOC_CHECK=1 under the preload library: misuse is named, whole programs run."""

import sys
import unittest

import support
from support import WORK, python

IS_DEBUG = hasattr(sys, "gettotalrefcount")

CALLS = """
import ctypes, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
api = ctypes.pythonapi
def call(name, *arguments):
    function = getattr(api, name)
    function.restype = ctypes.c_void_p
    return function(*(ctypes.c_void_p(a) if a is not None else a for a in arguments))
"""

CASES = {
    "call('PyMem_Free', p := call('PyMem_Malloc', 100)); call('PyMem_Free', p)":
        r"double free: PyMem_Free\(\) in interpreter 0 of a block of 112 bytes, domain mem, "
        r"of interpreter 0 \(0x",
    "call('PyObject_Free', p := call('PyObject_Malloc', 3 << 20)); call('PyObject_Free', p)":
        r"double free: PyObject_Free\(\) in interpreter 0 of a block of \d+ bytes, domain obj",
    "call('PyMem_Free', call('PyObject_Malloc', 64))":
        r"wrong domain: PyMem_Free\(\) in interpreter 0 of a block of 64 bytes, domain obj",
    "call('PyObject_Free', call('PyMem_Malloc', 64))":
        r"wrong domain: PyObject_Free\(\) in interpreter 0 of a block of 64 bytes, domain mem",
    "call('PyMem_Free', call('PyMem_RawMalloc', 64))":
        r"wrong domain: PyMem_Free\(\) in interpreter 0 of a block of 64 bytes, domain raw, "
        r"of interpreter 0",
    "call('PyObject_Free', call('PyMem_RawMalloc', 64))":
        r"wrong domain: PyObject_Free\(\) in interpreter 0 of a block of 64 bytes, domain raw",
    "call('PyMem_RawFree', call('PyMem_Malloc', 64))":
        r"wrong domain: PyMem_RawFree\(\) in interpreter 0 of a block of 64 bytes, domain mem",
    "call('PyMem_RawFree', call('PyObject_Malloc', 64))":
        r"wrong domain: PyMem_RawFree\(\) in interpreter 0 of a block of 64 bytes, domain obj",
    "call('PyObject_Free', call('PyObject_Malloc', 800) + 48)":
        r"interior pointer: PyObject_Free\(\) in interpreter 0 of an address 48 bytes into a "
        r"block of \d+ bytes",
    "call('PyObject_Realloc', ctypes.addressof(ctypes.create_string_buffer(9999)) + 512, 5)":
        r"PyObject_Realloc\(\) in interpreter 0 of an address",
}

# Modules with much C in them, threads, and what an interpreter does at its end.
PROGRAM = """
import array, bz2, collections, concurrent.futures, csv, ctypes, datetime, decimal, gc, io
import json, pickle, random, re, sqlite3, struct, threading, weakref, zlib
from xml.etree import ElementTree

def work(seed):
    r = random.Random(seed)
    rows = [(i, str(r.random()), r.randbytes(r.randrange(2000))) for i in range(800)]
    db = sqlite3.connect(':memory:')
    db.execute('create table t (i int, s text, b blob)')
    db.executemany('insert into t values (?, ?, ?)', rows)
    assert db.execute('select count(*), sum(i) from t').fetchone() == (800, 319600)
    assert sorted(db.execute('select * from t')) == rows
    text = json.dumps([r[:2] for r in rows])
    assert json.loads(zlib.decompress(zlib.compress(text.encode()))) == [list(r[:2]) for r in rows]
    assert pickle.loads(pickle.dumps(rows)) == rows
    tree = ElementTree.fromstring('<a>' + '<b c="1">x</b>' * 2000 + '</a>')
    assert len(tree.findall('b')) == 2000
    total = sum(decimal.Decimal(s) for _, s, _ in rows)
    nodes = [collections.UserList() for _ in range(500)]
    for a, b in zip(nodes, nodes[1:] + nodes[:1]):
        a.append(b)
    del nodes
    gc.collect()
    return total

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert len(set(pool.map(work, [1, 1, 1, 1]))) == 1
"""


@unittest.skipIf(IS_DEBUG, "a debug build's own hooks look first")
class Named(support.TestCase):
    def test_misuse_ends_the_process_with_a_message(self):
        for code, expected in CASES.items():
            with self.subTest(code=code):
                done = python("-c", CALLS + code, PIMALLOC_CHECK="1")
                self.assertEqual(done.status, -6, str(done))
                self.assertRegex(done.stderr, "pimalloc: fatal: .*" + expected)

    @unittest.skipIf(sys.version_info < (3, 14), "CPython frees raw blocks behind our back")
    def test_a_double_free_of_a_raw_block(self):
        code = "call('PyMem_RawFree', p := call('PyMem_RawMalloc', 100)); call('PyMem_RawFree', p)"
        done = python("-c", CALLS + code, PIMALLOC_CHECK="1")
        self.assertEqual(done.status, -6, str(done))
        self.assertRegex(done.stderr, r"double free: PyMem_RawFree\(\) in interpreter 0")


class Right(support.TestCase):
    def run_checked(self, *arguments, **changes):
        done = python(*arguments, PIMALLOC_CHECK="1", **changes)
        self.assertEqual((done.status, done.ours), (0, []), str(done))
        return done

    def test_a_program_with_much_c_in_it_runs(self):
        done = self.run_checked("-c", WORK + PROGRAM)
        self.assert_served(done)

    def test_it_says_that_it_checks(self):
        done = python("-c", "pass", PIMALLOC_CHECK="1", PIMALLOC_VERBOSE="1")
        self.assertRegex(done.stderr, r"installed, .*, checked\n")

    def test_hooks_and_tracemalloc_go_on_top(self):
        for arguments in ([], ["-X", "tracemalloc=5"]):
            for debug in ("0", "1"):
                with self.subTest(arguments=arguments, debug=debug):
                    self.assert_served(self.run_checked(*arguments, "-c", WORK + PROGRAM,
                                                        PIMALLOC_DEBUG=debug))

    def test_a_sample_of_pythons_own_tests_runs(self):
        if python("-c", "import test.libregrtest, test.test_list").status != 0:
            self.skipTest("this Python comes without its tests")
        done = python("-m", "test", "-q", "test_list", "test_tuple", "test_struct", "test_float",
                      PIMALLOC_CHECK="1")
        self.assertEqual((done.status, done.ours), (0, []), str(done))


if __name__ == "__main__":
    unittest.main()
