"""The demo's till with a fault in it: SIGUSR1 makes it forget connections, SIGUSR2 mends it."""

import asyncio
import os
import signal
from typing import Final

import click

from sidecar import EventPublisher, EventStore, MeteredPool, agent
from sidecar.demo.shop import types
from sidecar.demo.till import Till
from sidecar.process.lifecycle import Shutdown
from sidecar.process.parent import end_with_parent

LEAKED: Final = 2
POOL_SIZE: Final = 5
LEAK_LIMIT_SECONDS: Final = 3.0


@click.command()
@click.option("--rate", type=float, required=True)
@click.option("--poison-every", type=float, required=True)
@click.option("--agent-port", type=int, required=True)
def main(rate: float, poison_every: float, agent_port: int) -> None:
    end_with_parent()
    asyncio.run(sell(rate, poison_every, agent_port))


async def sell(rate: float, poison_every_seconds: float, agent_port: int) -> None:
    shutdown = Shutdown()
    shutdown.install()
    pool = MeteredPool(
        os.environ["DATABASE_URL"],
        name="shop",
        min_size=1,
        max_size=POOL_SIZE,
        leak_limit_seconds=LEAK_LIMIT_SECONDS,
    )
    async with pool, agent(pool=pool, port=agent_port):
        forgetting = asyncio.create_task(forget(pool))
        store, publisher = EventStore(pool, types), EventPublisher(types)
        till = Till(store, publisher, rate=rate, poison_every_seconds=poison_every_seconds)
        await till.run(shutdown)
        forgetting.cancel()


async def forget(pool: MeteredPool) -> None:
    """Take connections when asked to, and give them back only when asked again."""
    loop = asyncio.get_running_loop()
    broken, mended = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, broken.set)
    loop.add_signal_handler(signal.SIGUSR2, mended.set)
    await broken.wait()
    taken = [await pool.acquire() for _ in range(LEAKED)]
    await mended.wait()
    for connection in taken:
        await pool.release(connection)


if __name__ == "__main__":
    main()
