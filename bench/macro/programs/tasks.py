"""Tasks of asyncio: producers, consumers and a tree of awaits.

pyperformance: async_tree and asyncio_tcp without the network.
"""

import asyncio

LOOPS = 14
NEEDS = ("_asyncio",)
MESSAGES = 1500
DEPTH = 5
BRANCHES = 5


async def leaf(number):
    await asyncio.sleep(0)
    return number


async def tree(depth, number):
    if depth == 0:
        return await leaf(number)
    return sum(await asyncio.gather(
        *(tree(depth - 1, number * BRANCHES + branch)
          for branch in range(BRANCHES))))


async def produce(queue, number):
    for message in range(MESSAGES // 10):
        await queue.put({"from": number, "message": f"{number}:{message}"})
    await queue.put(None)


async def consume(queue, seen):
    while (message := await queue.get()) is not None:
        seen.append(message["message"])


async def work():
    seen = []
    queues = [asyncio.Queue(maxsize=4) for _ in range(10)]
    async with asyncio.TaskGroup() as group:
        for number, queue in enumerate(queues):
            group.create_task(produce(queue, number))
            group.create_task(consume(queue, seen))
    total = await tree(DEPTH, 1)
    return f"{len(seen)} {sum(map(len, seen))} {total}"


def setup():
    return None


def run(_):
    # Not asyncio.run(), which minds signals where it is the main thread.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()
