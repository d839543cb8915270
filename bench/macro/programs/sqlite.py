"""A shop in an SQLite database in memory: rows in, joined, and read back.

pyperformance: sqlite_synth and sqlalchemy_imperative.  SQLite takes its own
memory from libc's malloc(); what comes back as rows is Python's.
"""

import random
import sqlite3

LOOPS = 6
NEEDS = ("_sqlite3",)
ORDERS = 20000


def setup():
    rng = random.Random(32)
    customers = [(number, f"customer {rng.randrange(10**6)}",
                  f"{rng.randrange(500)} Low Road") for number in range(600)]
    orders = [(number, rng.randrange(600), rng.randrange(1, 400),
               rng.randrange(10**5) / 100, f"note {rng.randrange(10**4)} " * 3)
              for number in range(ORDERS)]
    return customers, orders


def run(data):
    customers, orders = data
    base = sqlite3.connect(":memory:")
    base.execute("create table customers (id integer primary key, name text, "
                 "street text)")
    base.execute("create table orders (id integer primary key, customer int, "
                 "day int, price real, note text)")
    base.executemany("insert into customers values (?, ?, ?)", customers)
    base.executemany("insert into orders values (?, ?, ?, ?, ?)", orders)
    base.execute("create index by_customer on orders (customer)")
    base.create_function("shout", 1, str.upper, deterministic=True)
    rows = base.execute(
        "select c.name, o.day, o.price, shout(o.note) from orders o "
        "join customers c on c.id = o.customer order by o.day, o.id").fetchall()
    sums = dict(base.execute(
        "select customer, round(sum(price), 2) from orders group by customer"))
    last = 0
    for number in range(0, 600, 2):
        for day, note in base.execute(
                "select day, note from orders where customer = ?", (number,)):
            last = max(last, day + len(note))
    base.close()
    return f"{len(rows)} {rows[99][0]} {len(sums)} {sums[7]:.2f} {last}"
