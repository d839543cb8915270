"""A program whose memory is looked at by two tracers.

  window.py ours|theirs FILE    dumps a snapshot of a window of it
"""

import collections
import gc
import json
import re
import sys
import tracemalloc


class Node:
    __slots__ = ("left", "name", "right")

    def __init__(self, left, right, name):
        self.left, self.right, self.name = left, right, name


class Plain:
    def __init__(self, i):
        self.i = i
        self.me = [i] * (i % 7)


def tree(depth):
    if depth == 0:
        return None
    return Node(tree(depth - 1), tree(depth - 1), "node" * depth + str(depth * 997))


def floats(n):
    return [i * 1.5 for i in range(n)]


def tuples(n):
    return [(i, i + 100000) for i in range(n)]


def dicts(n):
    return [{"a": i, "b": [i], "c": {i}} for i in range(n)]


def texts(n):
    for i in range(n):
        yield str(i) * 3


def buffers(n):
    out = []
    for i in range(n):
        out.append(bytearray(i))
        out[-1] += b"x" * (i % 50)
    return out


def parse():
    text = json.dumps({str(i): [i, i / 2, {"k": str(i)}] for i in range(300)})
    return json.loads(text)


def words():
    found = re.findall("[a-z]+", "the quick brown fox " * 50)
    return collections.Counter(found), collections.OrderedDict.fromkeys(map(str, range(200)))


def closures(n):
    def outer(i):
        return lambda: i

    return [outer(i) for i in range(n)]


def run():
    kept = []
    for _ in range(3):
        kept.append(tree(8))
        kept.append(floats(500))
        floats(700)
        kept.append(tuples(400))
        tuples(600)
        kept.append(dicts(200))
        dicts(250)
        kept.append(list(texts(300)))
        kept.append([Plain(i) for i in range(200)])
        kept.append(buffers(120))
        kept.append(parse())
        kept.append(words())
        kept.append(closures(100))
        kept.append(bytes(3 << 20))
        kept.append(open("/dev/null", encoding="ascii"))
        kept[-1].close()
    return kept


def main(how, path):
    import pimalloc
    run()
    gc.collect()
    gc.disable()
    if how == "ours":
        pimalloc.trace_start(1, relabel=True)
    else:
        tracemalloc.start(1)
    kept = run()
    snapshot = pimalloc.take_snapshot() if how == "ours" else tracemalloc.take_snapshot()
    snapshot.dump(path)
    return kept


if __name__ == "__main__":
    main(*sys.argv[1:])
