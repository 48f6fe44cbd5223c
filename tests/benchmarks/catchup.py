"""`catchup`, with poisoned events or a peer: one projection from the first event to the head."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import sidecar
from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.checkpoint import prepare, register
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.process.garbage_collector import freeze_gc
from sidecar.projections.context import PartitionContext
from sidecar.projections.delivery import Router
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.observer import RunnerTally
from sidecar.projections.projection import subscriptions_of
from sidecar.projections.runner import Runner
from sidecar.telemetry.projection_metrics import RunnerTelemetry
from sidecar.telemetry.setup import Telemetry
from tests.benchmarks.measure import (
    Result,
    SkippedError,
    alternate,
    ratio_at_least,
    require_equal,
)
from tests.benchmarks.place import Place, make_pool, session
from tests.benchmarks.shop import (
    OrderPlaced,
    Totals,
    create_totals,
    fill,
    fill_at_once,
    types,
    upsert_into,
)

EVENTS: Final = 50_000
PAGE_EVENTS: Final = 1000
ROUNDS: Final = 9
READ_PAGE: Final = (
    "SELECT position, data FROM sidecar.events WHERE position > $1 ORDER BY position LIMIT $2"
)


class Poisoned(Totals):
    """Totals that fail for one order in so many, each time."""

    def __init__(self, table: str, every: int) -> None:
        super().__init__(table)
        self._every: Final = every

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        if event.number % self._every == 0:
            raise LookupError(event.customer)
        await super().handle(event, connection)


class Finish(RunnerTelemetry):
    """A worker's telemetry, which also sees when so many events are committed."""

    def __init__(self, telemetry: Telemetry, events: int) -> None:
        super().__init__(telemetry)
        self.reached: Final = asyncio.Event()
        self.tally: Final = RunnerTally()
        self._events: Final = events

    @contextmanager
    def batch(self, projection: str, events: Sequence[RecordedEvent]) -> Iterator[None]:
        with super().batch(projection, events):
            yield
        if self.tally.applied >= self._events:
            self.reached.set()


@dataclass(frozen=True, slots=True)
class Log:
    """A filled log, the pool of whoever follows it, and a worker's telemetry."""

    pool: MeteredPool
    head: int
    telemetry: Telemetry

    async def follow(self, poisoned_every: int | None = None) -> float:
        """Let a runner catch up and return its rate.

        Args:
            poisoned_every: One order in so many fails; its stream alone is to wait.
        """
        await self._reset("ours")
        publisher = EventPublisher(types)
        projection = Poisoned("ours", poisoned_every) if poisoned_every else Totals("ours")
        publisher.add_projection(projection)
        sound = EVENTS - (EVENTS // poisoned_every if poisoned_every else 0)
        (subscription,) = subscriptions_of(publisher)
        async with self.pool.acquire() as connection:
            await connection.execute(
                "UPDATE sidecar.checkpoints SET position = 0; TRUNCATE sidecar.dead_letters"
            )
            await register(connection, subscription)
            await prepare(connection, subscription)
        head = HeadSignal()
        head.advance(self.head)
        finish = Finish(self.telemetry, sound)
        context = PartitionContext(
            subscription=subscription,
            partition=subscription.split()[0],
            router=Router(subscription.subscriber, types),
            store=PostgresProjectionStore(self.pool),
            head=head,
            observer=finish,
            tally=finish.tally,
        )
        runner = Runner(context)
        began = time.perf_counter()
        running = asyncio.create_task(runner.run())
        await finish.reached.wait()
        seconds = time.perf_counter() - began
        runner.stop()
        await running
        await self._check("ours", sound)
        return EVENTS / seconds

    async def follow_by_hand(self) -> float:
        """Catch up as one writes it by hand, with the same promise, and return the rate."""
        await self._reset("theirs")
        upsert = upsert_into("theirs")
        async with self.pool.acquire() as connection:
            await connection.execute(
                "DROP TABLE IF EXISTS mark; CREATE TABLE mark (position bigint NOT NULL);"
                "INSERT INTO mark VALUES (0)"
            )
            began = time.perf_counter()
            position = 0
            while rows := await connection.fetch(READ_PAGE, position, PAGE_EVENTS):
                events = [json.loads(row["data"]) for row in rows]
                position = rows[-1]["position"]
                async with connection.transaction():
                    await connection.executemany(
                        upsert, [(event["customer"], event["cents"]) for event in events]
                    )
                    await connection.execute("UPDATE mark SET position = $1", position)
            seconds = time.perf_counter() - began
        await self._check("theirs", EVENTS)
        return EVENTS / seconds

    async def _check(self, table: str, events: int) -> None:
        orders = await self.pool.fetchval(f"SELECT sum(orders)::bigint FROM {table}")
        require_equal(orders, events, f"orders counted in {table}")

    async def _reset(self, table: str) -> None:
        await self.pool.execute(f"DROP TABLE IF EXISTS {table}; {create_totals(table)}")


async def run(place: Place) -> list[Result]:
    """Measure against hand-written asyncpg."""
    async with _open_log(await place.create_database("catchup")) as log:
        pair = await alternate(log.follow, log.follow_by_hand, rounds=ROUNDS)
    return [Result("catchup", "events/s", pair, ratio_at_least(1.0), "asyncpg by hand")]


async def run_poison(place: Place) -> list[Result]:
    """Measure what poisoned events, each in a stream of its own, cost all the others."""
    results = []
    async with _open_log(await place.create_database("catchup-poison"), fill_apart) as log:
        with _log_to_nowhere():
            for every, bound in ((1000, 0.75), (200, 0.5)):
                pair = await alternate(partial(log.follow, every), log.follow, rounds=ROUNDS)
                name = f"catchup-poison-{100 / every:g}"
                limit = ratio_at_least(bound)
                results.append(Result(name, "events/s", pair, limit, "no event poisoned"))
    return results


@contextmanager
def _log_to_nowhere() -> Iterator[None]:
    """Have each failure formatted with its traceback, as a worker's log does, and thrown away."""
    logger = logging.getLogger("sidecar")
    with Path(os.devnull).open("w") as nowhere:
        handler = logging.StreamHandler(nowhere)
        logger.addHandler(handler)
        logger.propagate = False
        try:
            yield
        finally:
            logger.propagate = True
            logger.removeHandler(handler)


async def fill_apart(pool: MeteredPool, events: int) -> int:
    """Append so many orders, each to a stream of its own."""
    async with pool.acquire() as connection:
        return await fill_at_once(connection, events)


async def run_peer(place: Place) -> list[Result]:
    """Measure against the `eventsourcing` library.

    Raises:
        SkippedError: It is not installed.
    """
    try:
        from tests.benchmarks.peer import Peer  # noqa: PLC0415 - needs an optional library
    except ImportError as error:
        raise SkippedError(
            f"{error}; pip install 'eventsourcing[postgres]==9.5.6', and libpq for psycopg"
        ) from error
    async with _open_log(await place.create_database("catchup-peer")) as log:
        peer = await Peer.create(await place.create_database("eventsourcing"))
        pair = await alternate(log.follow, peer.follow, rounds=ROUNDS)
    return [Result("catchup-peer", "events/s", pair, ratio_at_least(45), peer.name)]


@asynccontextmanager
async def _open_log(
    dsn: str, fill_log: Callable[[MeteredPool, int], Awaitable[int]] = fill
) -> AsyncIterator[Log]:
    telemetry = Telemetry.start("benchmark", "worker-1", version=sidecar.__version__, environ={})
    try:
        async with make_pool(dsn, 4) as pool:
            head = await fill_log(pool, EVENTS)
            async with session(dsn) as connection:
                await connection.execute("VACUUM ANALYZE sidecar.events")
            # As a worker does, to the good of both sides.
            freeze_gc()
            yield Log(pool, head, telemetry)
    finally:
        telemetry.close()
