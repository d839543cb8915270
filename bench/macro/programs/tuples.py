"""A tree of tuples is made, counted and dropped, without the garbage collector.

Neighbours in time are neighbours in the tree.  In an aged process the time of
each stage says whether they are still neighbours in memory.
"""

import gc

LOOPS = 10
DEPTH = 15


class Grove:
    """The place of one tree."""
    tree = None


def build(depth):
    if depth == 0:
        return (None, None)
    return (build(depth - 1), build(depth - 1))


def count_of(tree):
    left, right = tree
    return 1 if left is None else 1 + count_of(left) + count_of(right)


def make(grove):
    grove.tree = build(DEPTH)
    return DEPTH


def count(grove):
    return count_of(grove.tree)


def drop(grove):
    grove.tree = None
    return 0


STAGES = (make, count, drop)


def setup():
    gc.disable()  # it would be part of one stage or another
    return Grove()


def run(grove):
    return " ".join(str(stage(grove)) for stage in STAGES)
