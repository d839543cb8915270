"""Python code with stacks of every kind, for test_frames.c, which looks at each
allocation of it.

Runs in any interpreter: imports nothing that subinterpreters refuse."""

import functools
import re
import threading


class Text(str):
    """Code objects may have file names of a subclass."""


def make():
    """Allocates in each domain: objects, their buffers, buffers that grow."""
    grown = []
    for i in range(20):
        grown.append((i, [str(i)] * i))
    return grown, {i: object() for i in range(9)}, "\u20ac" * 700


def nested(depth):
    def inner(left):
        if left:
            return inner(left - 1)
        return make()
    return inner(depth)


def recursion(n):
    return [n, recursion(n - 1)] if n else (n,)


def generators():
    def leaf():
        try:
            received = yield [1, 2]
            yield {"received": [received]}
        finally:
            make()

    def middle():
        return (yield from leaf())

    def top():
        yield from middle()
        yield from (str(i) for i in range(3))

    for item in top():
        item = [item]
    stopped = top()
    next(stopped)
    stopped.send(7)
    stopped.close()
    thrown = top()
    next(thrown)
    try:
        thrown.throw(ValueError([1]))
    except ValueError as error:
        make_text = repr(error) * 3
        assert make_text


def coroutines():
    class Step:
        def __await__(self):
            got = yield [self]
            return [got]

    async def deep(n):
        return await deep(n - 1) if n else await Step()

    async def counted():
        for i in range(3):
            yield [i, await Step()]

    class Manager:
        async def __aenter__(self):
            return await deep(2)

        async def __aexit__(self, *error):
            await deep(1)

    async def main():
        async with Manager() as entered:
            return [entered, [item async for item in counted()]]

    running = main()
    try:
        while True:
            running.send(None)
            make()
    except StopIteration as end:
        assert len(end.value) == 2


def comprehensions():
    rows = [[(i, j) for j in range(4)] for i in range(4)]
    names = {str(row): {c: [c] for c in row} for row in rows}
    return {frozenset(name) for name in names}, list(map(lambda row: row * 2, rows))


SOURCE = """
def f(depth):
    class C:
        value = [i for i in (
            depth,

            str(depth))]
    return f(depth - 1) if depth else [
        C(),
        [C.value
         ]]
x = f(3)
"""


def files():
    names = ["plain.py", "sp\u00e4t.py", "\u0438\u043c\u044f.py", "\U0001f40d.py",
             "not utf-8 \udcff.py", Text("sub.py"), Text("s\u00fcb.py"), "long/" * 900 + "\u20ac"]
    for name in names:
        exec(compile(SOURCE, name, "exec"), {})
        code = compile(SOURCE, "other.py", "exec").replace(co_filename=name)
        exec(code, {})
    assert eval(compile("[make(), 1][1]", "<\u20ac>", "eval"), {"make": make}) == 1


def names():
    def anonymous():
        return make()
    for name in ["\u00e4", "\u0436.<locals>.x", "\U0001f40d", "\ud800", Text("t"), "q" * 3000]:
        anonymous.__code__ = anonymous.__code__.replace(co_qualname=name, co_name=name)
        anonymous()


def lines():
    far = "\n" * 70000 + "x = [str(i)\n" + "\n" * 300 + "for i in (1, 2)]\n"
    exec(compile(far, "far.py", "exec"), {})
    code = make.__code__
    units = len(code.co_code) // 2
    tables = [b"\xff" * (units // 8 + 1),                # no line
              b"\xef\x03" + b"\xff" * (units // 8 + 1),  # one back, then none
              b"\xf7\x40\x40\x41\x00\x00\x00" * (units // 8 + 1),
              b"\xdf\x00\x00" * (units // 8 + 1)]
    for table in tables:
        exec(code.replace(co_linetable=table), {})
        exec(code.replace(co_linetable=table, co_firstlineno=1 << 29), {})


def classes():
    class Meta(type):
        def __new__(mcs, name, bases, space):
            space["made"] = [name]
            return super().__new__(mcs, name, bases, space)

        def __call__(cls, *arguments):
            return [super().__call__(*arguments)]

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments, **named):
            return [function(*arguments, **named)]
        return wrapper

    class Thing(metaclass=Meta):
        def __init__(self, value=0):
            self.value = [value]

        @property
        def doubled(self):
            return self.value * 2

        @doubled.setter
        def doubled(self, value):
            self.value = [value, make()]

        @decorate
        @decorate
        def method(self, *values, **named):
            return list(values), dict(named)

        def __eq__(self, other):
            return [self] is [other]

        def __hash__(self):
            return hash(str(self.value))

        def __getattr__(self, name):
            return [name] * 3

    for value in range(5):
        thing = Thing(value)[0]
        thing.doubled = thing.doubled
        thing.method(1, *thing.value, key=[value])
        assert thing.missing and {thing: 1}


def callbacks():
    class Dying:
        def __init__(self, below):
            self.below = below

        def __del__(self):
            make()

    chain = None
    for _ in range(5):
        chain = Dying(chain)
    del chain
    sorted(range(20), key=lambda n: [str(-n)])
    re.sub("[a-c]", lambda match: match.group() * 3 + str(make())[:9], "abcabc" * 3)
    functools.reduce(lambda a, b: [a, b], range(9))
    try:
        raise KeyError([make() for _ in range(2)])
    except KeyError as error:
        try:
            raise ValueError(str(error)) from error
        except ValueError as second:
            assert str(second.__cause__)


def threads():
    def work():
        recursion(10)
        generators()
        comprehensions()
    all_threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()


def run():
    nested(3)
    recursion(60)
    for part in (generators, coroutines, comprehensions, files, names, lines, classes,
                 callbacks, threads):
        part()
        nested(2)


run()
