"""Records of a web service go to JSON and back.

pyperformance: json_dumps and json_loads.
"""

import json
import random

LOOPS = 15
RECORDS = 1500

NEEDS = ("_json",)


def setup():
    rng = random.Random(12)
    return [{
        "id": number,
        "name": f"customer {rng.randrange(10**6)}",
        "email": f"user{number}@example.org",
        "balance": rng.randrange(10**7) / 100,
        "active": rng.random() < 0.8,
        "tags": [f"tag{rng.randrange(50)}" for _ in range(rng.randrange(6))],
        "address": {"street": f"{rng.randrange(300)} High Street",
                    "city": f"City {rng.randrange(100)}", "zip": None},
        "orders": [{"sku": f"SKU-{rng.randrange(9999):04}",
                    "count": rng.randrange(1, 9),
                    "price": rng.randrange(10**5) / 100}
                   for _ in range(rng.randrange(5))],
    } for number in range(RECORDS)]


def run(records):
    text = json.dumps(records)
    lines = [json.dumps(record, sort_keys=True) for record in records]
    back = json.loads(text)
    total = sum(order["count"] for line in lines
                for order in json.loads(line)["orders"])
    if back != records:
        raise ValueError("JSON has changed the records")
    return f"{len(text)} {total}"
