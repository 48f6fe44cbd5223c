"""`lag-growth`: one look at all lags, on a long log against a short one."""

import time
from dataclasses import dataclass
from typing import Final

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.query import sql
from sidecar.postgres.samples.sample import take_sample
from tests.benchmarks.measure import Limit, Pair, Result, alternate
from tests.benchmarks.place import Place, session
from tests.benchmarks.shop import fill_at_once

SMALL_EVENTS: Final = 10_000
PROJECTIONS: Final = 8
SAMPLES: Final = 30
LIMIT: Final = 1.5


@dataclass(frozen=True, slots=True)
class Watched:
    """A log with projections between its two ends, and a follower that has caught up."""

    connection: RawConnection
    follower: SafeHeadFollower

    @classmethod
    async def create(cls, connection: RawConnection, events: int) -> "Watched":
        head = await fill_at_once(connection, events)
        await connection.executemany(
            "INSERT INTO sidecar.checkpoints (projection, position) VALUES ($1, $2)",
            [(f"p{n}", n * head // (PROJECTIONS - 1)) for n in range(PROJECTIONS)],
        )
        await connection.execute("VACUUM ANALYZE")
        watched = cls(connection, SafeHeadFollower())
        await watched.sample()
        return watched

    async def sample(self) -> float:
        """Take samples and return the mean time of one, in ms."""
        began = time.perf_counter()
        for _ in range(SAMPLES):
            await take_sample(self.connection, self.follower)
        return 1e3 * (time.perf_counter() - began) / SAMPLES

    async def reads_whole_log(self) -> bool:
        """Tell whether a statement of the sample scans the events from end to end."""
        head = self.follower.head.position
        plans = [
            *await self.connection.fetch(f"EXPLAIN {sql('sample_projections')}", head),
            *await self.connection.fetch(f"EXPLAIN {sql('scan_log')}", head, 10_000),
        ]
        return any("Seq Scan on events" in row[0] for row in plans)


async def run(place: Place) -> list[Result]:
    """Measure on two databases."""
    long_dsn = await place.create_database("lag-long")
    short_dsn = await place.create_database("lag-short")
    async with session(long_dsn) as long_log, session(short_dsn) as short_log:
        long = await Watched.create(long_log, place.events)
        short = await Watched.create(short_log, SMALL_EVENTS)
        pair = await alternate(long.sample, short.sample)
        limit = _limit(scans=await long.reads_whole_log())
    peer_name = f"{SMALL_EVENTS:,} events; ours {place.events:,}"
    return [Result("lag-growth", "ms", pair, limit, peer_name)]


def _limit(*, scans: bool) -> Limit:
    def holds(pair: Pair) -> bool:
        return not scans and pair.ratio is not None and pair.ratio <= LIMIT

    return Limit(f"ratio <= {LIMIT:g}, no scan of the log", holds)
