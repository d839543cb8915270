"""Digits of pi, a sieve with a memo, and sums with many digits.

pyperformance: pidigits.  Integers of one to some hundred digits.
"""

LOOPS = 13
DIGITS = 350
LIMIT = 30000


def pi_digits(count):
    """Digits of pi by Gibbons's unbounded spigot."""
    digits = []
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    while len(digits) < count:
        if 4 * q + r - t < n * t:
            digits.append(n)
            q, r, n = (10 * q, 10 * (r - n * t),
                       (10 * (3 * q + r)) // t - 10 * n)
        else:
            q, r, t, k, n, m = (q * k, (2 * q + r) * m, t * m, k + 1,
                                (q * (7 * k + 2) + r * m) // (t * m), m + 2)
    return "".join(map(str, digits))


def longest_chain(limit):
    """The start below `limit` of the longest Collatz chain, and its length."""
    length = {1: 1}
    for start in range(2, limit):
        path = []
        number = start
        while number not in length:
            path.append(number)
            number = number * 3 + 1 if number % 2 else number // 2
        known = length[number]
        for steps, number in enumerate(reversed(path), 1):
            length[number] = known + steps
    return max(((length[n], -n) for n in range(1, limit)))


def setup():
    return DIGITS, LIMIT


def run(data):
    digits, limit = data
    pi = pi_digits(digits)
    steps, start = longest_chain(limit)
    a, b = 0, 1
    for _ in range(3000):
        a, b = b, a + b
    return f"{pi[-10:]} {steps} {-start} {a % 10**9}"
