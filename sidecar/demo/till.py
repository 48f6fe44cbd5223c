"""The shop's process: customers order at a steady rate, now and then a poison order."""

import asyncio
import logging
import math
import random
import time
import uuid
from collections import deque
from typing import Final

import click
import uvloop

from sidecar.config import environ as environment
from sidecar.config.settings import load
from sidecar.demo.shop import OrderPlaced, OrderShipped, types
from sidecar.errors import ConcurrencyError, StoreUnavailableError
from sidecar.events.publisher import EventPublisher
from sidecar.events.record import NO_STREAM
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.process.lifecycle import Shutdown
from sidecar.process.parent import end_with_parent
from sidecar.wiring.application_agent import agent

CUSTOMERS: Final = ("Ada", "Grace", "Katherine", "Margaret", "Radia")
LANGUAGES: Final = {
    "Austria": "German",
    "France": "French",
    "Japan": "Japanese",
    "Kenya": "Swahili",
}
COUNTRIES: Final = tuple(LANGUAGES)
FIRST_POISON_SECONDS: Final = 10.0
SHIP_AFTER_ORDERS: Final = 3
MAX_CUSTOMERS: Final = 100
POOL_SIZE: Final = 5
# A customer who waits longer for a connection leaves the shop.
PATIENCE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


async def print_receipt(order: OrderPlaced) -> None:
    """Handle an order in the shop's process, right after it was stored.

    Raises:
        KeyError: The shop has no language for the country.
    """
    logger.debug("Order %s: a receipt in %s", order.order_id, LANGUAGES[order.country])


class Till:
    """Takes orders, however long earlier ones take: customers do not wait for each other.

    Now and then one goes to a country without a shipping rate, but for a pause of 0.
    """

    def __init__(
        self,
        store: EventStore,
        publisher: EventPublisher,
        *,
        rate: float,
        poison_every_seconds: float,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._pause_seconds = 1.0 / rate
        self._poison_every_seconds = poison_every_seconds
        first_seconds = min(FIRST_POISON_SECONDS, poison_every_seconds) or math.inf
        self._poison_mono = time.monotonic() + first_seconds
        self._unshipped: deque[str] = deque()
        self._room = asyncio.Semaphore(MAX_CUSTOMERS)

    async def run(self, shutdown: Shutdown) -> None:
        """Let customers in until a shutdown is requested, and serve those who are inside."""
        async with asyncio.TaskGroup() as customers:
            while not shutdown.requested.is_set():
                if self._room.locked():
                    logger.warning("The shop is full and turns a customer away.")
                else:
                    customers.create_task(self._serve(poison=self._is_poison_due()))
                await shutdown.wait_requested(self._pause_seconds)

    def _is_poison_due(self) -> bool:
        if time.monotonic() < self._poison_mono:
            return False
        self._poison_mono = time.monotonic() + self._poison_every_seconds
        return True

    async def _serve(self, *, poison: bool) -> None:
        try:
            async with self._room:
                await self._take_order(poison=poison)
                await self._ship_oldest()
        except StoreUnavailableError as error:
            logger.warning("The shop cannot take orders: %s", error)

    async def _take_order(self, *, poison: bool) -> None:
        order_id = uuid.uuid4().hex[:12]
        country = f"Atlantis {order_id[:4]}" if poison else random.choice(COUNTRIES)
        order = OrderPlaced(order_id, random.choice(CUSTOMERS), country, random.randint(500, 20000))
        await self._store.append(f"order-{order_id}", [order], expected_version=NO_STREAM)
        self._unshipped.append(order_id)
        await self._publisher.publish(order)

    async def _ship_oldest(self) -> None:
        if len(self._unshipped) > SHIP_AFTER_ORDERS:
            await self._ship(self._unshipped.popleft())

    async def _ship(self, order_id: str) -> None:
        try:
            await self._store.append(
                f"order-{order_id}", [OrderShipped(order_id)], expected_version=1
            )
        except ConcurrencyError as error:
            # As after a restore: the shop remembers an order that the log no longer has.
            logger.warning("Order %s cannot be shipped: %s", order_id, error)


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
    logging.basicConfig(level=settings.log_level)
    if settings.database_url is None:
        raise click.UsageError("The shop needs DATABASE_URL.")
    publisher = EventPublisher(types)
    publisher.add_handler(print_receipt, OrderPlaced)
    pool = MeteredPool(
        settings.database_url.reveal(),
        name="shop",
        min_size=1,
        max_size=POOL_SIZE,
        acquire_timeout_seconds=PATIENCE_SECONDS,
    )
    store = EventStore(pool, types)
    async with pool, agent(publisher=publisher, pool=pool, store=store, port=agent_port):
        till = Till(store, publisher, rate=rate, poison_every_seconds=poison_every_seconds)
        await till.run(shutdown)


if __name__ == "__main__":
    main()
