"""An order book of data classes: made, replaced, compared and sorted.

What typed programs keep their state in; here an exchange matches buyers with
sellers.
"""

import dataclasses
import random

LOOPS = 8
ORDERS = 6000


@dataclasses.dataclass(frozen=True, order=True)
class Price:
    cents: int
    currency: str = "EUR"


@dataclasses.dataclass
class Order:
    number: int
    buyer: str
    price: Price
    count: int
    history: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Trade:
    buy: int
    sell: int
    price: Price
    count: int


def setup():
    rng = random.Random(21)
    return [(number, rng.random() < 0.5, f"trader {rng.randrange(300)}",
             10000 + rng.randrange(-300, 300), rng.randrange(1, 50))
            for number in range(ORDERS)]


def match(order, book, trades, buys):
    """Trades an order against the best of the other side while it can."""
    while book and order.count:
        best = book[-1]
        if order.price < best.price if buys else best.price < order.price:
            break
        count = min(best.count, order.count)
        pair = (order, best) if buys else (best, order)
        trades.append(Trade(pair[0].number, pair[1].number, best.price, count))
        order.count -= count
        best.history.append(dataclasses.replace(trades[-1]))
        best.count -= count
        if best.count == 0:
            book.pop()


def run(rows):
    buyers, sellers, trades, book = [], [], [], {}
    for number, buys, buyer, cents, count in rows:
        order = Order(number, buyer, Price(cents), count)
        book[number] = order
        match(order, sellers if buys else buyers, trades, buys)
        if order.count and buys:
            buyers.append(order)
            if number % 16 == 0:
                buyers.sort(key=lambda order: order.price)
        elif order.count:
            sellers.append(order)
            if number % 16 == 0:
                sellers.sort(key=lambda order: order.price, reverse=True)
    turnover = sum(trade.price.cents * trade.count for trade in trades)
    touched = sum(len(order.history) for order in book.values())
    return f"{len(trades)} {turnover} {touched} {len(buyers)} {len(sellers)}"
