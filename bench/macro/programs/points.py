"""Points in space are made, normalised and compared.

pyperformance: float.  Every coordinate is an object of its own.
"""

from math import cos, sin, sqrt

LOOPS = 6
POINTS = 60000


class Point:
    __slots__ = ("x", "y", "z")

    def __init__(self, angle):
        self.x = sin(angle)
        self.y = cos(angle) * 3
        self.z = self.x * self.x / 2

    def normalise(self):
        length = sqrt(self.x * self.x + self.y * self.y + self.z * self.z)
        self.x /= length
        self.y /= length
        self.z /= length

    def larger(self, other):
        self.x = max(self.x, other.x)
        self.y = max(self.y, other.y)
        self.z = max(self.z, other.z)
        return self


def setup():
    return POINTS


def run(count):
    points = [Point(float(number)) for number in range(count)]
    for point in points:
        point.normalise()
    halves = [(a.x + b.x, a.y + b.y, a.z + b.z)
              for a, b in zip(points, points[1:])]
    height = sum(x * y - z for x, y, z in halves)
    largest = points[0]
    for point in points[1:]:
        largest = largest.larger(point)
    return f"{largest.x:.6f} {largest.y:.6f} {largest.z:.6f} {height:.4f}"
