"""Documents are copied deeply before each change, to be able to undo it.

pyperformance: deepcopy, deepcopy_reduce and deepcopy_memo.
"""

import copy
import random

LOOPS = 20
DOCUMENTS = 60
CHANGES = 4


class Shape:
    def __init__(self, kind, points, style):
        self.kind = kind
        self.points = points
        self.style = style


class Document:
    def __init__(self, name, shapes):
        self.name = name
        self.shapes = shapes
        self.undo = []

    def change(self, number):
        self.undo.append(copy.deepcopy(self.shapes))
        shape = self.shapes[number % len(self.shapes)]
        shape.points.append([number, -number])
        shape.style["width"] += 1


def setup():
    rng = random.Random(35)
    documents = []
    for number in range(DOCUMENTS):
        shared = {"colour": "black", "width": 1, "dash": [1, 2]}
        shapes = [Shape(rng.choice(["line", "area"]),
                        [[rng.random(), rng.random()]
                         for _ in range(rng.randrange(2, 8))],
                        shared if rng.random() < 0.5 else dict(shared))
                  for _ in range(6)]
        documents.append(Document(f"drawing {number}", shapes))
    return documents


def run(documents):
    changed = [copy.deepcopy(document) for document in documents]
    for number in range(CHANGES):
        for document in changed:
            document.change(number)
    for document in changed[::2]:
        document.shapes = document.undo[1]
    points = sum(len(shape.points) for document in changed
                 for shape in document.shapes)
    widths = sum(shape.style["width"] for document in changed
                 for shape in document.shapes)
    kept = sum(map(len, (document.undo for document in changed)))
    return f"{points} {widths} {kept}"
