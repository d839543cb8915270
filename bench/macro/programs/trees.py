"""Binary trees are built, walked and dropped, while one large tree lives on.

The garbage collection classic of the Computer Language Benchmarks Game, as
objects with slots: pyperformance's gc_collect and richards are its relatives.
"""

LOOPS = 4
DEPTH = 13
LONG_LIVED_DEPTH = 17


class Node:
    __slots__ = ("left", "right")

    def __init__(self, left, right):
        self.left = left
        self.right = right

    def count(self):
        if self.left is None:
            return 1
        return 1 + self.left.count() + self.right.count()


def build(depth):
    if depth == 0:
        return Node(None, None)
    return Node(build(depth - 1), build(depth - 1))


def setup():
    return DEPTH


def run(depth):
    long_lived = build(LONG_LIVED_DEPTH)
    total = 0
    for level in range(4, depth + 1, 2):
        for _ in range(1 << (depth - level)):
            total += build(level).count()
    return f"{total} {long_lived.count()}"
