"""The pool's numbers against `pg_stat_activity`, under everything that can befall a connection.

Run it for ten minutes with `--load-seconds 600`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol

import asyncpg
import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.pools.instrumented_pool import InstrumentedPool
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.pools.pool_usage import AcquireContext, PooledConnection
from tests.postgres.eventually import eventually

MAX_SIZE: Final = 6
ACTORS: Final = 24
ROUND_SECONDS: Final = 0.4
NAME: Final = "truth"

# A borrower opens a transaction at once, so that the server can tell who is in use.
SERVER_VIEW: Final = """
SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) FILTER (WHERE state = 'idle')
FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()
"""
REFUSALS: Final = (
    StoreUnavailableError,
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What asyncpg says when a rollback meets a cancelled query on a session that was cut off.
    asyncpg.InternalClientError,
)


class Pool(Protocol):
    """What both kinds of pool offer."""

    def acquire(self, *, timeout: float | None = None) -> AcquireContext: ...

    def release(self, connection: PooledConnection) -> Awaitable[None]: ...


class Numbers(Protocol):
    """What is told of both."""

    @property
    def used(self) -> int: ...
    @property
    def idle(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def oldest_wait_seconds(self) -> float: ...


class Opened:
    """Counts the connections that were opened."""

    def __init__(self) -> None:
        self.count = 0

    def waited(self, seconds: float, outcome: str) -> None: ...

    def used(self, seconds: float) -> None: ...

    def created(self, _seconds: float) -> None:
        self.count += 1


class Load:
    """Rounds of random callers; after each, the pool's numbers are compared with the server's."""

    def __init__(self, pool: Pool, numbers: Numbers, dsn: str, seed: int) -> None:
        self.rounds = 0
        self.done: dict[str, int] = {}
        self._pool = pool
        self._numbers = numbers
        self._dsn = dsn
        self._random = random.Random(seed)
        self._leaked: list[PooledConnection] = []

    async def run(self, seconds: float) -> None:
        self._admin: Any = await asyncpg.connect(self._dsn)
        ends_mono = time.monotonic() + seconds
        while time.monotonic() < ends_mono:
            await self._round()
            await eventually(self._agrees)
            self.rounds += 1
        await self._settle()
        await eventually(self._agrees)
        await self._admin.close()

    async def _round(self) -> None:
        until_mono = time.monotonic() + ROUND_SECONDS
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(until_mono))
            for _ in range(ACTORS):
                group.create_task(self._act(until_mono))

    async def _watch(self, until_mono: float) -> None:
        """Meanwhile the numbers keep within their bounds at every moment."""
        while time.monotonic() < until_mono:
            assert 0 <= self._numbers.used <= MAX_SIZE
            assert 0 <= self._numbers.idle <= MAX_SIZE
            assert 0 <= self._numbers.pending <= ACTORS
            assert (self._numbers.oldest_wait_seconds > 0) <= (self._numbers.pending > 0)
            await asyncio.sleep(0)

    async def _act(self, until_mono: float) -> None:
        acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._borrow, 12),
            (self._give_up, 4),
            (self._be_cancelled, 6),
            (self._run_into_statement_timeout, 2),
            (self._terminate_a_backend, 2),
            (self._leak, 1),
            (self._return_a_leak, 2),
        ]
        while time.monotonic() < until_mono:
            (act,) = self._random.choices([a for a, _ in acts], [weight for _, weight in acts])
            self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            with suppress(*REFUSALS):
                await act()

    async def _borrow(self) -> None:
        async with self._pool.acquire(timeout=0.3) as connection, connection.transaction():
            await connection.fetchval("SELECT pg_sleep($1)", self._random.random() * 0.01)

    async def _give_up(self) -> None:
        async with self._pool.acquire(timeout=self._random.random() * 0.002):
            pass

    async def _be_cancelled(self) -> None:
        task = asyncio.create_task(self._borrow())
        await asyncio.sleep(self._random.random() * 0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _run_into_statement_timeout(self) -> None:
        async with self._pool.acquire(timeout=0.3) as connection:
            await connection.execute("SELECT pg_sleep(1)", timeout=0.005)

    async def _terminate_a_backend(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
                " AND datname = current_database() ORDER BY random() LIMIT 1",
                NAME,
            )
        finally:
            await connection.close()

    async def _leak(self) -> None:
        if len(self._leaked) < MAX_SIZE // 2:
            connection = await self._pool.acquire(timeout=0.3)
            try:
                await connection.execute("BEGIN")
            except REFUSALS:
                await self._pool.release(connection)
                raise
            self._leaked.append(connection)

    async def _return_a_leak(self) -> None:
        if self._leaked:
            await self._pool.release(self._leaked.pop())

    async def _agrees(self) -> bool:
        used, idle = await self._admin.fetchrow(SERVER_VIEW, NAME)
        assert self._numbers.pending == 0
        return (self._numbers.used, self._numbers.idle) == (used, idle)

    async def _settle(self) -> None:
        while self._leaked:
            with suppress(*REFUSALS):
                await self._return_a_leak()


@asynccontextmanager
async def metered(dsn: str) -> AsyncIterator[tuple[Pool, Numbers]]:
    async with MeteredPool(dsn, name=NAME, min_size=0, max_size=MAX_SIZE) as pool:
        pool.observer = Opened()
        yield pool, pool


@asynccontextmanager
async def adopted(dsn: str) -> AsyncIterator[tuple[Pool, Numbers]]:
    settings = {"application_name": NAME}
    pool: Any
    async with asyncpg.create_pool(
        dsn, min_size=0, max_size=MAX_SIZE, server_settings=settings
    ) as pool:
        yield pool, InstrumentedPool(pool, NAME)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("open_pool", [metered, adopted])
async def test_no_number_drifts_from_what_the_server_sees(
    open_pool: Any, empty_database: str, request: pytest.FixtureRequest
) -> None:
    seconds: float = request.config.getoption("--load-seconds") / 2
    seed: int = request.config.getoption("--seed")
    async with open_pool(empty_database) as (pool, numbers):
        load = Load(pool, numbers, empty_database, seed)
        await load.run(seconds)
        assert numbers.used == numbers.pending == 0
        assert load.rounds > 1
        if isinstance(pool, MeteredPool):
            assert isinstance(pool.observer, Opened)
            assert pool.observer.count - pool.closed == pool.get_size()
            assert pool.timeouts > 0
            assert pool.closed > 0
