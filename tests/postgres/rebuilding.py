"""A worker that rebuilds too, and the read model that is rebuilt."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.postgres.rebuild import rebuild
from sidecar.projections.observer import RunnerTally
from sidecar.projections.projection import Partition
from sidecar.projections.runner import Runner
from sidecar.projections.worker import Worker
from tests.beside import beside
from tests.postgres.eventually import eventually
from tests.postgres.shop import BrokenOrderError, Placed
from tests.postgres.stage import Stage, session

ORACLE: Final = (
    "SELECT stream, sum((data ->> 'amount')::bigint)::bigint AS amount, count(*) AS events "
    "FROM sidecar.events GROUP BY stream ORDER BY stream"
)
FILL: Final = (
    "INSERT INTO sidecar.events (stream, version, type, data) "
    "SELECT 's' || n % $2::int, 1 + n / $2::int, 'Placed', "
    "json_build_object('order', 'o' || n, 'amount', n % 97) "
    "FROM generate_series(0, $1::int - 1) n"
)


class Totals:
    """Adds up amounts by stream; `factor` is the bug that a rebuild puts right.

    Attributes:
        broken: Orders that it fails for, in whichever copy.
    """

    handles = (Placed,)

    def __init__(self, name: str = "totals", *, partitions: int = 1) -> None:
        self.name: Final = name
        self.tables: Final = (name,)
        self.partitions: Final = partitions
        self.factor = 1
        self.broken: set[str] = set()

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} ("
            "stream text PRIMARY KEY, amount bigint NOT NULL, events bigint NOT NULL DEFAULT 1)"
        )

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if event.order in self.broken:
            raise BrokenOrderError(event.order)
        await connection.execute(
            f"INSERT INTO {self.name} AS t VALUES ($1, $2, 1) ON CONFLICT (stream) DO UPDATE "
            "SET amount = t.amount + excluded.amount, events = t.events + 1",
            record.stream,
            event.amount * self.factor,
        )


class TimedStore(PostgresProjectionStore):
    """Takes the time of each swap.

    Attributes:
        attempts: Swaps tried.
        locked_seconds: From the first table's lock to the end of the commit, of the last swap.
    """

    def __init__(self, pool: MeteredPool) -> None:
        super().__init__(pool)
        self.attempts = 0
        self.locked_seconds = 0.0

    async def swap(self, projection: str) -> bool:
        self.attempts += 1
        began_mono = 0.0

        def look(query: asyncpg.connection.LoggedQuery) -> None:
            nonlocal began_mono
            if query.query.startswith("ALTER TABLE") and not began_mono:
                began_mono = time.monotonic()
            if query.query.startswith("COMMIT") and began_mono:
                self.locked_seconds = time.monotonic() - began_mono

        async with self._pool.acquire() as raw:
            with raw.query_logger(look):
                return await rebuild.swap(raw, projection)


def make_worker(stage: Stage, projection_store: PostgresProjectionStore | None = None) -> Worker:
    """Make a worker as `Stage.make_worker` does, that fills new copies as well."""
    worker = stage.make_worker()
    head = worker._head

    def make_runner(partition: Partition, tally: RunnerTally) -> Runner:
        return Runner(stage.make_context(partition, tally, head=head, store=projection_store))

    worker._make_runner = make_runner
    return worker


@asynccontextmanager
async def working(
    stage: Stage, projection_store: PostgresProjectionStore | None = None
) -> AsyncIterator[Worker]:
    """Run a worker for the length of the block."""
    worker = make_worker(stage, projection_store)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task


@asynccontextmanager
async def meanwhile(work: Callable[[], Any]) -> AsyncIterator[None]:
    """Repeat something for the length of the block; what it raises fails the test."""

    async def repeat() -> None:
        while True:
            await work()

    async with beside(repeat()):
        yield


async def fill(stage: Stage, events: int, streams: int = 1000) -> None:
    """Append many events quickly."""
    await stage.pool.execute(FILL, events, streams)


async def start(stage: Stage, projection: str = "totals") -> None:
    async with stage.pool.acquire() as connection:
        await rebuild.start_rebuild(connection, projection)


async def cancel(stage: Stage, projection: str = "totals") -> None:
    async with stage.pool.acquire() as connection:
        await rebuild.cancel_rebuild(connection, projection)


async def rows_of(stage: Stage, projection: str = "totals") -> list[dict[str, Any]]:
    """Return the checkpoints of the rebuild under way."""
    rows = await stage.pool.fetch(
        "SELECT position, state, detail FROM sidecar.checkpoints "
        "WHERE projection = $1 AND copy = 'rebuild' ORDER BY partition",
        projection,
    )
    return [dict(row) for row in rows]


async def until_swapped(
    stage: Stage, projection: str = "totals", within_seconds: float = 60.0
) -> None:
    async def is_swapped() -> bool:
        return not await rows_of(stage, projection)

    await eventually(is_swapped, within_seconds)


async def until_halted(stage: Stage, projection: str = "totals") -> str:
    """Wait until a rebuild stopped, and return why."""

    async def is_halted() -> bool:
        return all(row["state"] == "failed" for row in await rows_of(stage, projection))

    await eventually(is_halted)
    return str((await rows_of(stage, projection))[0]["detail"])


async def until_live(stage: Stage, projection: str = "totals") -> None:
    """Wait until the live copy has applied everything that is in the log now."""
    last = await stage.pool.fetchval("SELECT max(position) FROM sidecar.events")

    live = "SELECT min(position) FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'"

    async def is_there() -> bool:
        return bool(await stage.pool.fetchval(live, projection) >= last)

    await eventually(is_there, 60.0)


async def read(stage: Stage, table: str = "totals") -> list[tuple[Any, ...]]:
    rows = await stage.pool.fetch(f"SELECT stream, amount, events FROM {table} ORDER BY stream")
    return [tuple(row) for row in rows]


async def oracle(stage: Stage) -> list[tuple[Any, ...]]:
    """Return what the read model has to be, computed from the events."""
    return [tuple(row) for row in await stage.pool.fetch(ORACLE)]


@asynccontextmanager
async def waiting_for_the_swap(stage: Stage, events: int) -> AsyncIterator[None]:
    """Begin a rebuild and keep it under way: as long as a table is in use, there is no swap."""
    async with session(stage.dsn, "report") as report, report.transaction():
        await report.execute("LOCK TABLE totals IN ACCESS SHARE MODE")
        await start(stage)

        async def is_filled() -> bool:
            return [row["position"] for row in await rows_of(stage)] == [events]

        await eventually(is_filled)
        yield
