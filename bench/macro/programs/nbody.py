"""Planets move around the sun: a control that allocates next to nothing.

pyperformance: nbody.  Floats come and go through CPython's freelist, so an
allocator should make no difference here.
"""

LOOPS = 16
STEPS = 4000

# Position, velocity and mass in units of the solar system; made up.
BODIES = (
    ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 39.5),
    ((4.8, -1.2, -0.1), (0.6, 2.8, -0.02), 0.038),
    ((8.3, 4.1, -0.4), (-1.0, 1.8, 0.008), 0.011),
    ((12.9, -15.1, -0.2), (1.1, 0.9, -0.01), 0.0017),
    ((15.4, -25.9, 0.2), (1.0, 0.6, -0.03), 0.002),
)


def setup():
    return BODIES


def energy(bodies):
    total = 0.0
    for number, (place, speed, mass) in enumerate(bodies):
        total += mass * sum(v * v for v in speed) / 2
        for other, _, other_mass in bodies[number + 1:]:
            gap = sum((a - b) ** 2 for a, b in zip(place, other)) ** 0.5
            total -= mass * other_mass / gap
    return total


def run(start):
    bodies = [(list(place), list(speed), mass) for place, speed, mass in start]
    pairs = [(a, b) for number, a in enumerate(bodies)
             for b in bodies[number + 1:]]
    dt = 0.001
    for _ in range(STEPS):
        for (p, v, m), (q, w, n) in pairs:
            dx = p[0] - q[0]
            dy = p[1] - q[1]
            dz = p[2] - q[2]
            pull = dt / ((dx * dx + dy * dy + dz * dz) ** 1.5)
            ours = n * pull
            v[0] -= dx * ours
            v[1] -= dy * ours
            v[2] -= dz * ours
            theirs = m * pull
            w[0] += dx * theirs
            w[1] += dy * theirs
            w[2] += dz * theirs
        for p, v, _ in bodies:
            p[0] += dt * v[0]
            p[1] += dt * v[1]
            p[2] += dt * v[2]
    return f"{energy(start):.8f} {energy(bodies):.8f}"
