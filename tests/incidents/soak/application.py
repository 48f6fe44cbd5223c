"""`python -m tests.incidents.soak.application PORT`: an application under a steady load.

It appends and publishes at a pace; now and then a handler of its own fails.
"""

import asyncio
import os
import sys
from itertools import count
from typing import Final

from sidecar import EventPublisher, EventStore, MeteredPool, agent
from tests.incidents.service import CannotBookError, Paid, types

NAME: Final = "application"
PAUSE_SECONDS: Final = 0.02
POOL_SIZE: Final = 3
ACCOUNTS: Final = 40
POISON_EVERY: Final = 500


async def receipt(event: Paid) -> None:
    """Handle in the application itself, and fail at times, so that there is something to tell."""
    if event.memo == "torn":
        raise CannotBookError(event.account)


async def sell(store: EventStore, publisher: EventPublisher) -> None:
    for number in count(1):
        memo = "torn" if number % POISON_EVERY == 0 else ""
        event = Paid(f"s{number % ACCOUNTS}", 100, memo)
        await store.append(f"account-{event.account}", [event])
        await publisher.publish(event)
        await asyncio.sleep(PAUSE_SECONDS)


async def main(port: int) -> None:
    publisher = EventPublisher(types)
    publisher.add_handler(receipt)
    pool = MeteredPool(os.environ["DATABASE_URL"], name=NAME, min_size=1, max_size=POOL_SIZE)
    store = EventStore(pool, types)
    async with pool, agent(publisher=publisher, pool=pool, store=store, port=port):
        await sell(store, publisher)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
