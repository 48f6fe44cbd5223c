"""The shop's own process: takes orders at a steady rate, now and then a poison one."""

import asyncio
import logging
import random
import uuid
from collections import deque
from typing import Final

import click
import uvloop

from sidecar.config import environ as environment
from sidecar.config.settings import load
from sidecar.demo.shop import OrderPlaced, OrderShipped, types
from sidecar.errors import StoreUnavailableError
from sidecar.events.record import NO_STREAM
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.process.lifecycle import Shutdown
from sidecar.process.parent import end_with_parent
from sidecar.wiring.agent import agent

CUSTOMERS: Final = ("Ada", "Grace", "Katherine", "Margaret", "Radia")
COUNTRIES: Final = ("Austria", "France", "Japan", "Kenya")
FIRST_POISON_SECONDS: Final = 10.0
SHIP_AFTER_ORDERS: Final = 3

logger = logging.getLogger(__name__)


class Till:
    """Takes orders.

    Args:
        store: Where the events go.
        rate: Orders per second.
        poison_every_seconds: Pause between orders to a country without a shipping rate.
    """

    def __init__(self, store: EventStore, *, rate: float, poison_every_seconds: float) -> None:
        self._store = store
        self._pause_seconds = 1.0 / rate
        self._poison_every_seconds = poison_every_seconds
        self._unshipped: deque[str] = deque()

    async def run(self, shutdown: Shutdown) -> None:
        """Take orders until a shutdown is requested."""
        loop = asyncio.get_running_loop()
        poison_at = loop.time() + min(FIRST_POISON_SECONDS, self._poison_every_seconds)
        while not shutdown.requested.is_set():
            poison = loop.time() >= poison_at
            if poison:
                poison_at = loop.time() + self._poison_every_seconds
            try:
                await self._take_order(poison=poison)
            except StoreUnavailableError as error:
                logger.warning("The shop cannot take orders: %s", error)
            await shutdown.wait_requested(self._pause_seconds)

    async def _take_order(self, *, poison: bool) -> None:
        order_id = uuid.uuid4().hex[:8]
        country = f"Atlantis {order_id[:4]}" if poison else random.choice(COUNTRIES)
        order = OrderPlaced(order_id, random.choice(CUSTOMERS), country, random.randint(500, 20000))
        await self._store.append(f"order-{order_id}", [order], expected_version=NO_STREAM)
        self._unshipped.append(order_id)
        if len(self._unshipped) > SHIP_AFTER_ORDERS:
            oldest = self._unshipped.popleft()
            await self._store.append(f"order-{oldest}", [OrderShipped(oldest)], expected_version=1)


@click.command()
@click.option("--rate", type=float, required=True)
@click.option("--poison-every", type=float, required=True)
@click.option("--agent-port", type=int, required=True)
def main(rate: float, poison_every: float, agent_port: int) -> None:
    """Run the shop until the process that started it ends."""
    end_with_parent()
    uvloop.run(_main(rate, poison_every, agent_port))


async def _main(rate: float, poison_every_seconds: float, agent_port: int) -> None:
    shutdown = Shutdown()
    shutdown.install()
    settings, _ = load(environment.read())
    if settings.database_url is None:
        raise click.UsageError("The shop needs DATABASE_URL.")
    pool = MeteredPool(settings.database_url.reveal(), name="shop", min_size=1, max_size=5)
    async with pool, agent(pool=pool, port=agent_port):
        till = Till(EventStore(pool, types), rate=rate, poison_every_seconds=poison_every_seconds)
        await till.run(shutdown)


if __name__ == "__main__":
    main()
