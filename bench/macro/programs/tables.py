"""A table is read from CSV, kept as rows and columns, changed and written.

What data scripts do before they need anything bigger; all of the table is in
memory, as one dict per row and one list per column.
"""

import csv
import io
import random

LOOPS = 1
NEEDS = ("_csv",)
ROWS = 72000


def setup():
    rng = random.Random(41)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "city", "street", "height", "year", "note"])
    for number in range(ROWS):
        writer.writerow([number, f"city {rng.randrange(900)}",
                         f"{rng.randrange(400)} Main Street",
                         rng.randrange(10**5) / 1000, rng.randrange(1850, 2024),
                         rng.choice(["", "to, be", 'so "called"', "none"])])
    return out.getvalue()


def run(text):
    rows = list(csv.DictReader(io.StringIO(text)))
    columns = {name: [] for name in rows[0]}
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    heights = [float(value) for value in columns["height"]]
    by_city = {}
    for row, height in zip(rows, heights):
        row["height"] = height
        row["age"] = 2024 - int(row["year"])
        by_city.setdefault(row["city"], []).append(row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    for city in sorted(by_city):
        writer.writerows(sorted(by_city[city], key=lambda row: row["age"]))
    mean = sum(heights) / len(heights)
    return f"{len(rows)} {len(by_city)} {mean:.6f} {len(out.getvalue())}"
