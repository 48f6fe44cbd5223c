"""`verify`: a read model of a row an event, verified, against a rebuild of it by the same worker.

`verify-blocked` is the longest that a statement on the live table took meanwhile. With `--large`
there are a million rows, one round, and 500 events applied each second.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass
from typing import Final

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.rebuild.rebuild import drop_old_copy, start_rebuild
from sidecar.postgres.verify.verification import list_verifications, request_verification
from tests.benchmarks.measure import (
    Pair,
    Result,
    alternate,
    ours_at_most,
    poll,
    ratio_at_most,
    require_equal,
)
from tests.benchmarks.place import Place, session
from tests.benchmarks.process import started
from tests.benchmarks.shop import fill_at_once
from tests.beside import beside

USUAL_ROWS: Final = 100_000
LARGE_ROWS: Final = 1_000_000
ROUNDS: Final = 3
LIMIT_SECONDS: Final = 3600.0
TOUCH_SECONDS: Final = 0.01
APPENDED: Final = 50
APPEND_SECONDS: Final = 0.1


@dataclass(slots=True)
class ReadModel:
    """One of a row an event, that a worker keeps.

    Attributes:
        busy: Events are appended while it is verified or rebuilt.
        blocked_ms: The longest that a statement on it took while it was verified.
    """

    connection: RawConnection
    other: RawConnection
    third: RawConnection
    rows: int
    busy: bool
    blocked_ms: float = 0.0

    async def verify(self) -> float:
        """Return how many seconds a verification takes."""
        began = time.perf_counter()
        await request_verification(self.connection, "lines")
        async with beside(self._touch()), self._traffic():
            await poll(self._is_verified, limit_seconds=LIMIT_SECONDS)
        seconds = time.perf_counter() - began
        [found] = await list_verifications(self.connection, ["lines"])
        require_equal(found.state, "equal", "the verification's result")
        require_equal(found.compared_rows >= self.rows, True, "all rows compared")
        return seconds

    async def rebuild(self) -> float:
        """Return how many seconds a rebuild takes."""
        began = time.perf_counter()
        await start_rebuild(self.connection, "lines")
        async with self._traffic():
            await poll(self._is_swapped, limit_seconds=LIMIT_SECONDS)
        seconds = time.perf_counter() - began
        await drop_old_copy(self.connection, "lines")
        return seconds

    async def _touch(self) -> None:
        """Write to the live table again and again, which changes nothing."""
        while True:
            began = time.perf_counter()
            await self.other.execute("UPDATE lines SET cents = cents WHERE number = 1")
            self.blocked_ms = max(self.blocked_ms, (time.perf_counter() - began) * 1000)
            await asyncio.sleep(TOUCH_SECONDS)

    def _traffic(self) -> AbstractAsyncContextManager[object]:
        return beside(self._append()) if self.busy else nullcontext()

    async def _append(self) -> None:
        while True:
            await fill_at_once(self.third, APPENDED)
            await asyncio.sleep(APPEND_SECONDS)

    async def _is_verified(self) -> bool:
        [found] = await list_verifications(self.connection, ["lines"])
        return found.state != "running"

    async def _is_swapped(self) -> bool:
        rebuilds = "SELECT count(*) FROM sidecar.checkpoints WHERE copy = 'rebuild'"
        return bool(await self.connection.fetchval(rebuilds) == 0)

    async def is_filled(self) -> bool:
        """Tell whether every event is in it."""
        lowest = "SELECT min(position) FROM sidecar.checkpoints"
        return bool(await self.connection.fetchval(lowest) == self.rows)


async def run(place: Place) -> list[Result]:
    """Measure both in turn."""
    rows = LARGE_ROWS if place.events > LARGE_ROWS else USUAL_ROWS
    runs = (1, 0) if rows == LARGE_ROWS else (ROUNDS, 1)
    async with _read_model(place, rows) as model:
        pair = await alternate(model.verify, model.rebuild, rounds=runs[0], warm_ups=runs[1])
    return [
        Result("verify", "s", pair, ratio_at_most(1.5), "rebuild"),
        Result("verify-blocked", "ms", Pair(model.blocked_ms), ours_at_most(100, "ms")),
    ]


@asynccontextmanager
async def _read_model(place: Place, rows: int) -> AsyncIterator[ReadModel]:
    dsn = await place.create_database("verify")
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(session(dsn))
        other = await stack.enter_async_context(session(dsn))
        third = await stack.enter_async_context(session(dsn))
        await fill_at_once(connection, rows)
        worker = await stack.enter_async_context(
            started(place, "sidecar", "run", "tests.benchmarks.shop:lines", dsn=dsn)
        )
        await worker.until("/heartbeat")
        model = ReadModel(connection, other, third, rows, busy=rows == LARGE_ROWS)
        await poll(model.is_filled, limit_seconds=LIMIT_SECONDS)
        yield model
