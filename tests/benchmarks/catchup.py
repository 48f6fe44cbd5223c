"""`catchup` and `catchup-peer`: one projection from the first event to the head."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import sidecar
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.checkpoint import prepare, register
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.work import PostgresDesk
from sidecar.process.heap import settle
from sidecar.projections.projection import subscriptions_of
from sidecar.projections.runner import Runner
from sidecar.projections.signal import HeadSignal
from sidecar.telemetry.running import RunnerTelemetry
from sidecar.telemetry.setup import Telemetry
from tests.benchmarks.measure import (
    Result,
    SkippedError,
    alternate,
    ratio_at_least,
    require_equal,
)
from tests.benchmarks.place import Place, make_pool, session
from tests.benchmarks.shop import Totals, create_totals, fill, types, upsert_into

EVENTS: Final = 50_000
PAGE_EVENTS: Final = 1000
ROUNDS: Final = 9
READ_PAGE: Final = (
    "SELECT position, data FROM sidecar.events WHERE position > $1 ORDER BY position LIMIT $2"
)


class Finish(RunnerTelemetry):
    """A worker's telemetry, which also sees when so many events are committed."""

    def __init__(self, telemetry: Telemetry, events: int) -> None:
        super().__init__(telemetry)
        self.reached: Final = asyncio.Event()
        self._left = events

    def batch_finished(self, token: object, applied: int) -> None:
        super().batch_finished(token, applied)
        self._left -= applied
        if self._left <= 0:
            self.reached.set()


@dataclass(frozen=True, slots=True)
class Log:
    """A filled log, the pool of whoever follows it, and a worker's telemetry."""

    pool: MeteredPool
    head: int
    telemetry: Telemetry

    async def follow(self) -> float:
        """Let a runner catch up and return its rate."""
        await self._reset("ours")
        publisher = EventPublisher(types)
        publisher.add_projection(Totals("ours"))
        (subscription,) = subscriptions_of(publisher)
        async with self.pool.acquire() as connection:
            await connection.execute("DELETE FROM sidecar.checkpoints")
            await register(connection, subscription)
            await prepare(connection, subscription)
        head = HeadSignal()
        head.advance(self.head)
        finish = Finish(self.telemetry, EVENTS)
        runner = Runner(
            subscription,
            subscription.split()[0],
            types=types,
            desk=PostgresDesk(self.pool),
            head=head,
            observer=finish,
        )
        began = time.perf_counter()
        running = asyncio.create_task(runner.run())
        await finish.reached.wait()
        seconds = time.perf_counter() - began
        runner.stop()
        await running
        await self._check("ours")
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
        await self._check("theirs")
        return EVENTS / seconds

    async def _check(self, table: str) -> None:
        orders = await self.pool.fetchval(f"SELECT sum(orders)::bigint FROM {table}")
        require_equal(orders, EVENTS, f"orders counted in {table}")

    async def _reset(self, table: str) -> None:
        await self.pool.execute(f"DROP TABLE IF EXISTS {table}; {create_totals(table)}")


async def run(place: Place) -> list[Result]:
    """Measure against hand-written asyncpg."""
    async with _open_log(await place.create_database("catchup")) as log:
        pair = await alternate(log.follow, log.follow_by_hand, rounds=ROUNDS)
    return [Result("catchup", "events/s", pair, ratio_at_least(1.0), "asyncpg by hand")]


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
async def _open_log(dsn: str) -> AsyncIterator[Log]:
    telemetry = Telemetry.start("benchmark", "worker-1", version=sidecar.__version__, environ={})
    try:
        async with make_pool(dsn, 4) as pool:
            head = await fill(pool, EVENTS)
            async with session(dsn) as connection:
                await connection.execute("VACUUM ANALYZE sidecar.events")
            # As a worker does, to the good of both sides.
            settle()
            yield Log(pool, head, telemetry)
    finally:
        telemetry.close()
