"""`latency`: from the call of append until the read model's commit is seen, at a steady rate."""

import asyncio
import time
from contextlib import suppress
from statistics import quantiles
from typing import Final

import asyncpg

from sidecar.postgres.store import EventStore
from tests.benchmarks.measure import Pair, Result, ours_at_most
from tests.benchmarks.place import Place, make_pool, session
from tests.benchmarks.process import started
from tests.benchmarks.shop import SEEN_CHANNEL, make_order, types

RATE_PER_SECOND: Final = 1000
WARM_UP_EVENTS: Final = 2000
EVENTS: Final = 8000
WRITERS: Final = 16
LATEST_SECONDS: Final = 30.0


class Stopwatch:
    """Notes when each order was appended, and when its row was committed to the read model."""

    def __init__(self, events: int) -> None:
        self.all_seen: Final = asyncio.Event()
        self._began: Final = [0.0] * events
        self._seconds: Final = [0.0] * events
        self._left = events

    def begin(self, number: int) -> None:
        self._began[number] = time.perf_counter()

    def hear(self, *notification: object) -> None:
        """Take a notification: PostgreSQL delivers it once the transaction is committed."""
        number = int(str(notification[-1]))
        self._seconds[number] = time.perf_counter() - self._began[number]
        self._left -= 1
        if self._left == 0:
            self.all_seen.set()

    def percentiles_ms(self) -> list[float]:
        """Return the 99 percentiles of what came after the warm-up."""
        return quantiles([1e3 * seconds for seconds in self._seconds[WARM_UP_EVENTS:]], n=100)


async def run(place: Place) -> list[Result]:
    """Append here, project in a worker process of its own."""
    dsn = await place.create_database("latency")
    async with (
        started(place, "sidecar", "run", "tests.benchmarks.shop:one", dsn=dsn) as worker,
        session(dsn) as ear,
        make_pool(dsn, WRITERS) as pool,
    ):
        await worker.until("/heartbeat")
        watch = Stopwatch(EVENTS)
        await ear.add_listener(SEEN_CHANNEL, watch.hear)
        await _append_steadily(EventStore(pool, types), watch)
        async with asyncio.timeout(LATEST_SECONDS):
            await watch.all_seen.wait()
        with suppress(asyncpg.InterfaceError):
            await ear.remove_listener(SEEN_CHANNEL, watch.hear)
    percentiles = watch.percentiles_ms()
    return [
        Result("latency-p50", "ms", Pair(percentiles[49]), ours_at_most(10, "ms")),
        Result("latency-p99", "ms", Pair(percentiles[98]), ours_at_most(50, "ms")),
    ]


async def _append_steadily(store: EventStore, watch: Stopwatch) -> None:
    """Append at the rate, whether or not earlier appends have ended."""

    async def append(number: int) -> None:
        watch.begin(number)
        await store.append(f"order-{number}", (make_order(number),), expected_version=0)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(EVENTS):
            due_seconds = began + number / RATE_PER_SECOND - time.perf_counter()
            if due_seconds > 0:
                await asyncio.sleep(due_seconds)
            group.create_task(append(number))
