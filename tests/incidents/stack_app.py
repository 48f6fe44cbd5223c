"""The application of the stack's tests: it is paid all the time, and misbehaves when told to.

What it is told on standard input: `poison COUNT` appends that many events that a projection fails
on, each to an account of its own; `hold` takes every connection of its pool, until `release`.
"""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator

from sidecar import EventPublisher, EventStore, MeteredPool, agent
from sidecar.errors import SidecarError
from tests.incidents.service import Paid, types

PAUSE_SECONDS = 0.05
POOL_SIZE = 3
PATIENCE_SECONDS = 10.0
ACCOUNTS = 40


async def receipt(event: Paid) -> None:
    """Handle in the application itself, so that a publisher has something to tell."""
    if event.memo == "poison":
        raise ValueError(event.account)


class Shop:
    """Appends payments, publishes each, and does as it is told."""

    def __init__(self, pool: MeteredPool, publisher: EventPublisher) -> None:
        self._pool = pool
        self._publisher = publisher
        self._store = EventStore(pool, types)
        self._released = asyncio.Event()

    async def sell(self) -> None:
        while True:
            with contextlib.suppress(SidecarError, TimeoutError, OSError):
                event = Paid(f"s{random.randrange(ACCOUNTS)}", 100)
                await self._store.append(f"account-{event.account}", [event])
                await self._publisher.publish(event)
            await asyncio.sleep(PAUSE_SECONDS)

    async def poison(self, count: int) -> None:
        for number in range(count):
            event = Paid(f"bad{number}", 1, "poison")
            await self._store.append(f"account-{event.account}", [event])
            await self._publisher.publish(event)

    async def hold(self) -> None:
        self._released.clear()
        await asyncio.gather(*(self._hold() for _ in range(POOL_SIZE)))

    async def _hold(self) -> None:
        async with self._pool.acquire(timeout=PATIENCE_SECONDS):
            await self._released.wait()

    async def obey(self, words: list[str]) -> None:
        match words:
            case ["poison", count]:
                await self.poison(int(count))
            case ["hold"]:
                await self.hold()
            case _:
                self._released.set()


async def lines() -> AsyncIterator[list[str]]:
    """Yield what is told on standard input, until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


async def main(port: int) -> None:
    publisher = EventPublisher(types)
    publisher.add_handler(receipt)
    pool = MeteredPool(
        os.environ["DATABASE_URL"],
        name="shop",
        min_size=1,
        max_size=POOL_SIZE,
        acquire_timeout_seconds=1.0,
    )
    async with pool, agent(publisher=publisher, pool=pool, port=port), asyncio.TaskGroup() as tasks:
        shop = Shop(pool, publisher)
        selling = tasks.create_task(shop.sell())
        async for words in lines():
            tasks.create_task(shop.obey(words))
        selling.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
