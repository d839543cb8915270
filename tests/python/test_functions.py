"""Arguments, results and errors of each function; the stub tells the truth."""

import ast
import inspect
import io
import pathlib
import sys
import unittest
from unittest import mock

import pimalloc
import support

STUB = pathlib.Path(pimalloc.__file__).with_name("pimalloc.pyi")


class HasId:
    def __init__(self, number):
        self.id = number


class Index:
    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


@support.needs_active
class Stats(unittest.TestCase):
    def test_all(self):
        everything = pimalloc.stats()
        self.assertEqual(everything["version"], pimalloc.version())
        self.assertIs(everything["active"], True)
        self.assertEqual(everything["interpreters"][0]["id"], 0)
        self.assertEqual(list(everything["interpreters"]), pimalloc.interpreters())
        self.assertEqual(everything["process"]["id"], pimalloc.PROCESS)

    def test_one_interpreter(self):
        main = pimalloc.stats(0)
        self.assertEqual(main["state"], "alive")
        self.assertGreaterEqual(main["generation"], 1)
        self.assertGreater(main["arenas"], 0)
        self.assertGreater(main["pages"], 0)
        for usage in main["domains"].values():
            self.assertGreaterEqual(usage["peak_bytes"], usage["live_bytes"])
            self.assertGreaterEqual(usage["peak_blocks"], usage["live_blocks"])
            self.assertGreaterEqual(usage["total_bytes"], usage["peak_bytes"])
            self.assertGreaterEqual(usage["total_blocks"], usage["peak_blocks"])
        self.assertEqual(set(main["domains"]), {"raw", "mem", "obj"})

    def test_process(self):
        process = pimalloc.stats(pimalloc.PROCESS)
        self.assertEqual(pimalloc.PROCESS, -1)
        self.assertIs(type(process["raw_is_libc"]), bool)
        self.assertEqual(set(process["domains"]), {"raw", "mem", "obj"})

    def test_ways_to_name_an_interpreter(self):
        for name in (0, Index(0), HasId(0), HasId(Index(0)), False):
            self.assertEqual(pimalloc.stats(name)["id"], 0)
        self.assertEqual(pimalloc.stats(interp=0)["id"], 0)
        self.assertEqual(set(pimalloc.stats(interp=None)), set(pimalloc.stats()))

    def test_unknown_ids(self):
        for number in (99, -2, 2**63 - 1, -2**63):
            with self.assertRaisesRegex(ValueError, f"no interpreter {number};"):
                pimalloc.stats(number)

    def test_wrong_types(self):
        for thing in ("0", 0.0, [], int, HasId("0"), HasId(None), HasId):
            with self.assertRaisesRegex(TypeError, "interpreter's id"):
                pimalloc.stats(thing)
        with self.assertRaises(TypeError):
            pimalloc.stats(0, 0)
        with self.assertRaises(TypeError):
            pimalloc.stats(id=0)

    def test_too_large_ids(self):
        for number in (2**63, -2**63 - 1, 10**100):
            with self.assertRaisesRegex(OverflowError, "64 bits"):
                pimalloc.stats(number)

    def test_errors_of_the_argument_pass_through(self):
        class Bad:
            @property
            def id(self):
                raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            pimalloc.stats(Bad())
        with self.assertRaises(TypeError):
            pimalloc.stats(Index("0"))

    def test_asking_leaves_nothing(self):
        def ask():
            pimalloc.stats()
            pimalloc.stats(0)
            pimalloc.interpreters()
            pimalloc.classes(0, "mem")
            pimalloc.owner([])
            pimalloc.print_stats(io.StringIO())
            for bad in (99, 2**64, "x"):
                try:
                    pimalloc.stats(bad)
                except (ValueError, OverflowError, TypeError):
                    pass

        self.assertLess(support.growth(ask, 500), 50)


@support.needs_active
class Classes(unittest.TestCase):
    def test_sums_are_the_domain(self):
        for domain in ("mem", "obj"):
            before = pimalloc.stats(0)["domains"][domain]
            classes = pimalloc.classes(0, domain)
            after = pimalloc.stats(0)["domains"][domain]
            for name in ("total_blocks", "total_bytes"):
                total = sum(c[name] for c in classes)
                self.assertTrue(before[name] <= total <= after[name], name)
            self.assertLess(abs(sum(c["live_blocks"] for c in classes) - after["live_blocks"]), 1000)

    def test_each_class(self):
        kept = [bytes(100_000), bytes(5 << 20)]
        classes = pimalloc.classes(interp=0, domain="obj")
        self.assertEqual([c["kind"] for c in classes[-2:]], ["span", "large"])
        sizes = [c["block_bytes"] for c in classes]
        self.assertEqual(sizes[-2:], [None, None])
        self.assertEqual(sizes[:-2], sorted(set(sizes[:-2])))
        for c in classes:
            self.assertGreater(c["total_blocks"], 0)
            self.assertGreaterEqual(c["peak_blocks"], c["live_blocks"])
            self.assertEqual(c["kind"] == "small", c["block_bytes"] is not None)
            if c["block_bytes"] is not None:
                self.assertEqual(c["live_bytes"], c["live_blocks"] * c["block_bytes"])
        self.assertGreaterEqual(classes[-1]["live_bytes"], len(kept[1]))

    def test_objects_count_in_their_class(self):
        def live():
            return {c["block_bytes"]: c["live_blocks"] for c in pimalloc.classes(0)}

        before = live()
        objects = [object() for _ in range(10_000)]
        during = live()
        grown = {size: n - before.get(size, 0) for size, n in during.items()}
        size = max(grown, key=grown.get)
        self.assertLess(size, 100)
        self.assertTrue(10_000 <= grown[size] < 10_500, grown)
        del objects
        after = next(c for c in pimalloc.classes(0) if c["block_bytes"] == size)
        self.assertLess(after["live_blocks"], during[size] - 9_000)
        self.assertGreaterEqual(after["peak_blocks"], during[size])
        self.assertGreaterEqual(after["total_blocks"], during[size])

    def test_arguments(self):
        self.assertIn(pimalloc.classes(HasId(0), "mem")[0]["block_bytes"], (16, 32))
        self.assertIsInstance(pimalloc.classes(pimalloc.PROCESS, "raw"), list)
        for number in (99, -2):
            with self.assertRaisesRegex(ValueError, f"no interpreter {number};"):
                pimalloc.classes(number)
        with self.assertRaisesRegex(ValueError, "'raw', 'mem' or 'obj', not 'objects'"):
            pimalloc.classes(0, "objects")
        for arguments in ((), (None,), (0, 1), (0, "mem", 3)):
            with self.assertRaises(TypeError):
                pimalloc.classes(*arguments)
        with self.assertRaises(OverflowError):
            pimalloc.classes(2**64)


class Slots:
    __slots__ = ("__dict__", "__weakref__", *(f"s{i}" for i in range(6000)))


class Plain:
    pass


class Tuple(tuple):
    pass


class Bytes(bytes):
    pass


@support.needs_active
class Owner(unittest.TestCase):
    def test_objects_of_every_shape(self):
        things = [
            object(), Plain(), Plain, 3.5, 10**30, [], {}, {1: 2}, {1}, (1, [2]), "é" * 20,
            bytearray(9), lambda: 1, (i for i in ()), Exception(), sys, sys._getframe(),
            memoryview(bytearray(4)), Plain().__init__,
        ]
        for thing in things:
            with self.subTest(repr(thing)[:60]):
                self.assertEqual(pimalloc.owner(thing), 0)

    def test_large_objects(self):
        for size in (30_000, 33_000, 40_000, 100_000, 10_000_000):
            numbers = range(size // 8)
            for thing in (bytes(size), "x" * size, "\u20ac" * size, 1 << 8 * size, tuple(numbers),
                          Tuple(numbers), Bytes(size)):
                with self.subTest(size=size, type=type(thing).__name__):
                    self.assertEqual(pimalloc.owner(thing), 0)

    def test_large_objects_with_everything_in_front(self):
        for _ in range(50):
            thing = Slots()
            self.assertGreater(Slots.__basicsize__, 40_000)
            self.assertEqual(pimalloc.owner(thing), 0)
            thing.attribute = 1
            self.assertEqual(pimalloc.owner(thing), 0)

    def test_static_objects(self):
        things = [None, True, 0, 7, -5, "", b"", "a", b"a", (), ..., NotImplemented, int, type,
                  object, Exception]
        for thing in things:
            with self.subTest(repr(thing)):
                self.assertIsNone(pimalloc.owner(thing))

    def test_arguments(self):
        for arguments in ((), (1, 2)):
            with self.assertRaises(TypeError):
                pimalloc.owner(*arguments)


@support.needs_active
class Trim(unittest.TestCase):
    def test_ways_to_name_an_interpreter(self):
        self.assertEqual(pimalloc.EACH, -2)
        for name in (None, 0, Index(0), HasId(0), pimalloc.EACH, pimalloc.PROCESS):
            things = [bytes(1000) for _ in range(3000)]
            del things
            self.assertGreaterEqual(pimalloc.trim(name), 0)
        self.assertGreaterEqual(pimalloc.trim(interp=pimalloc.EACH), 0)

    def test_only_who_is_named(self):
        def burst():
            runs = [bytes(300_000) for _ in range(20)]
            return len(runs)

        pimalloc.trim()
        burst()
        self.assertLess(pimalloc.trim(pimalloc.PROCESS), 3_000_000)
        self.assertGreater(pimalloc.trim(0), 3_000_000)

    def test_arguments(self):
        for thing in ("0", 0.0, [], HasId(None)):
            with self.assertRaisesRegex(TypeError, "interpreter's id"):
                pimalloc.trim(thing)
        with self.assertRaises(TypeError):
            pimalloc.trim(0, 0)
        with self.assertRaisesRegex(OverflowError, "64 bits"):
            pimalloc.trim(2**63)
        for unknown in (99, -7, 12345, HasId(99)):
            with self.assertRaisesRegex(ValueError, "knows no interpreter"):
                pimalloc.trim(unknown)


@support.needs_active
class PreforkFreeze(unittest.TestCase):
    # In a process of its own: what is out of use stays so.
    CODE = """if 1:
        import gc, os, pimalloc
        shared = [[i, str(i)] for i in range(20000)]
        del shared[::2]
        gc.collect()
        gc.freeze()
        assert pimalloc.prefork_freeze() is None
        pages = pimalloc.stats(0)["pages"]
        new = [[i] for i in range(3000)]  # would fit between what is shared
        assert pimalloc.stats(0)["pages"] >= pages + 5
        pid = os.fork()
        if pid == 0:
            more = [str(i) * 3 for i in range(20000)]
            del shared[:], new, more
            gc.collect()
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
    """

    def test_parent_and_child_work(self):
        done = support.run_python(self.CODE)
        self.assertEqual(done.stdout.strip(), "0", done.stderr)

    def test_arguments(self):
        with self.assertRaises(TypeError):
            pimalloc.prefork_freeze(1)


class Broken:
    def write(self, text):
        raise OSError(28, "no space left")


@support.needs_active
class PrintStats(unittest.TestCase):
    def test_to_a_file_object(self):
        out = io.StringIO()
        self.assertIsNone(pimalloc.print_stats(out))
        self.assertIn(f"pimalloc {pimalloc.version()}", out.getvalue())
        self.assertIn("process", out.getvalue())
        self.assertTrue(out.getvalue().endswith("\n"))

    def test_default_is_stderr_of_the_moment(self):
        with mock.patch("sys.stderr", io.StringIO()) as stderr:
            pimalloc.print_stats()
            pimalloc.print_stats(None)
            pimalloc.print_stats(file=None)
        self.assertEqual(stderr.getvalue().count(f"pimalloc {pimalloc.version()}"), 3)

    def test_no_stderr_is_no_error(self):
        with mock.patch("sys.stderr", None):
            pimalloc.print_stats()

    def test_errors_of_the_file_pass_through(self):
        with self.assertRaisesRegex(OSError, "no space left"):
            pimalloc.print_stats(Broken())
        with self.assertRaises(AttributeError):
            pimalloc.print_stats(42)
        with self.assertRaises(TypeError):
            pimalloc.print_stats(io.BytesIO())
        closed = io.StringIO()
        closed.close()
        with self.assertRaises(ValueError):
            pimalloc.print_stats(closed)

    def test_a_file_that_removes_stderr(self):
        class Remover:
            def write(self, text):
                sys.stderr = None

        with mock.patch("sys.stderr", Remover()):
            pimalloc.print_stats()


class Stub(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = ast.parse(STUB.read_text(encoding="utf-8"))
        cls.classes = {n.name: n for n in cls.tree.body if isinstance(n, ast.ClassDef)}

    def test_names(self):
        stub = {n.name for n in self.tree.body if isinstance(n, ast.FunctionDef)} | {"faults"}
        stub |= {n.target.id for n in self.tree.body if isinstance(n, ast.AnnAssign)}
        self.assertIn("NotActiveError", self.classes)
        there = {name for name in vars(pimalloc) if not name.startswith("__")}
        self.assertEqual(stub | {"NotActiveError"}, there)

    def test_signatures(self):
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                real = inspect.signature(getattr(pimalloc, node.name))
                with self.subTest(node.name):
                    self.assertEqual([a.arg for a in node.args.posonlyargs + node.args.args +
                                      node.args.kwonlyargs], list(real.parameters))
                    for a in node.args.kwonlyargs:
                        self.assertIs(real.parameters[a.arg].kind,
                                      inspect.Parameter.KEYWORD_ONLY)
                    for a in node.args.posonlyargs:
                        self.assertIs(real.parameters[a.arg].kind,
                                      inspect.Parameter.POSITIONAL_ONLY)
                    given = node.args.defaults
                    defaults = [inspect.Parameter.empty] * (len(node.args.args) - len(given))
                    defaults += [ast.literal_eval(default) for default in given]
                    for a, default in zip(node.args.args, defaults):
                        self.assertIs(real.parameters[a.arg].kind,
                                      inspect.Parameter.POSITIONAL_OR_KEYWORD)
                        if node.name != "stats":  # overloads differ
                            self.assertEqual(real.parameters[a.arg].default, default)

    def test_every_function_has_a_docstring(self):
        for name, thing in vars(pimalloc).items():
            if callable(thing) and not name.startswith("__"):
                self.assertGreater(len(thing.__doc__), 40, name)

    def keys(self, name):
        node = self.classes[name]
        found = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
        for base in node.bases:
            found |= self.keys(base.id) if base.id in self.classes else set()
        return found

    @support.needs_active
    def test_dictionaries(self):
        everything = pimalloc.stats()
        main, process = everything["interpreters"][0], everything["process"]
        for name, real in [
            ("Stats", everything), ("InterpreterStats", main), ("ProcessStats", process),
            ("Domains", main["domains"]), ("Domains", process["domains"]),
            ("Usage", main["domains"]["obj"]), ("Usage", process["domains"]["raw"]),
            ("SizeClass", pimalloc.classes(0)[0]),
            ("Limits", pimalloc.limits()),
        ]:
            self.assertEqual(self.keys(name), set(real), name)


if __name__ == "__main__":
    support.main()
