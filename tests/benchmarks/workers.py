"""`workers`: eight projections caught up by two worker processes, against one.

More workers use more cores for Python. The limit is held against handlers that reckon for some
20 µs per event; with bare upserts PostgreSQL itself takes most of both cores, and the row
`workers-bare` shows what is left to gain then.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sidecar.postgres.connection import RawConnection
from tests.benchmarks.measure import (
    Pair,
    Result,
    alternate,
    no_limit,
    poll,
    ratio_at_least,
    require_equal,
)
from tests.benchmarks.place import Place, session
from tests.benchmarks.process import started
from tests.benchmarks.shop import fill_at_once

PROJECTIONS: Final = 8
EVENTS: Final = 15_000
BARE_EVENTS: Final = 20_000
ROUNDS: Final = 9
LIMIT_SECONDS: Final = 60.0

COUNT_LEASES: Final = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7236174"
    " AND objsubid = 2 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " GROUP BY pid"
)


@dataclass(frozen=True, slots=True)
class Crew:
    """So many workers that share the projections of one database."""

    connection: RawConnection
    workers: int
    events: int

    async def is_settled(self) -> bool:
        """Tell whether each worker holds its share."""
        leases = [row["count"] for row in await self.connection.fetch(COUNT_LEASES)]
        return leases == [PROJECTIONS // self.workers] * self.workers

    async def catch_up(self) -> float:
        """Commit events all at once; return the rate at which the projections take them in."""
        head = await fill_at_once(self.connection, self.events)
        began = time.perf_counter()
        await poll(lambda: self._has_reached(head), limit_seconds=LIMIT_SECONDS)
        seconds = time.perf_counter() - began
        for number in range(PROJECTIONS):
            table = f"totals_{number}"
            orders = await self.connection.fetchval(f"SELECT sum(orders)::bigint FROM {table}")
            require_equal(orders, head, f"orders counted in {table}")
        return PROJECTIONS * self.events / seconds

    async def _has_reached(self, position: int) -> bool:
        lowest = await self.connection.fetchval("SELECT min(position) FROM sidecar.checkpoints")
        return int(lowest) >= position


async def run(place: Place) -> list[Result]:
    """Measure two crews, each idle while the other works."""
    priced = await _compare(place, "eight_priced", EVENTS)
    bare = await _compare(place, "eight", BARE_EVENTS)
    peer_name = "1 worker; ours 2"
    return [
        Result("workers", "events/s", priced, ratio_at_least(1.5), peer_name),
        Result("workers-bare", "events/s", bare, no_limit(), peer_name),
    ]


async def _compare(place: Place, target: str, events: int) -> Pair:
    async with (
        _crew(place, target, workers=2, events=events) as two,
        _crew(place, target, workers=1, events=events) as one,
    ):
        return await alternate(two.catch_up, one.catch_up, rounds=ROUNDS)


@asynccontextmanager
async def _crew(place: Place, target: str, *, workers: int, events: int) -> AsyncIterator[Crew]:
    dsn = await place.create_database(f"workers-{target}-{workers}")
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(session(dsn))
        for _ in range(workers):
            worker = await stack.enter_async_context(
                started(place, "sidecar", "run", f"tests.benchmarks.shop:{target}", dsn=dsn)
            )
            await worker.until("/heartbeat")
        crew = Crew(connection, workers, events)
        await poll(crew.is_settled, limit_seconds=LIMIT_SECONDS)
        yield crew
