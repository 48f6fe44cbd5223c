"""`MeteredPool`: asyncpg's pool by composition, with the numbers that asyncpg does not keep."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self

import asyncpg

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.connection import (
    CONNECT_TIMEOUT_SECONDS,
    RawPool,
    describe_refusal,
    server_settings,
)

DEFAULT_MIN_SIZE: Final = 5
DEFAULT_MAX_SIZE: Final = 20
DEFAULT_ACQUIRE_TIMEOUT_SECONDS: Final = 10.0


class PoolObserver(Protocol):
    """Hears the durations, in seconds; it must neither raise nor wait."""

    def waited(self, seconds: float, outcome: str) -> None:
        """An acquire ended: `ok`, `timeout`, `cancelled` or `error`."""

    def used(self, seconds: float) -> None:
        """A connection came back."""

    def created(self, seconds: float) -> None:
        """A connection was opened."""


class MeteredPool:
    """A pool whose use, waits and time-outs can be told.

    Use it as an async context manager, or call `open` and `close`. Its own count of connections in
    use is the truth: asyncpg calls a connection idle while it is being set up.

    Args:
        dsn: Where the server is. It appears in no message.
        name: The pool's name in metrics; also `application_name` at the server.
        min_size: Connections kept open.
        max_size: Connections at most.
        acquire_timeout_seconds: How long an acquire waits at most; always finite.
        command_timeout_seconds: How long a statement may take; None for no limit.
    """

    def __init__(
        self,
        dsn: str,
        *,
        name: str = "default",
        min_size: int = DEFAULT_MIN_SIZE,
        max_size: int = DEFAULT_MAX_SIZE,
        acquire_timeout_seconds: float = DEFAULT_ACQUIRE_TIMEOUT_SECONDS,
        command_timeout_seconds: float | None = None,
    ) -> None:
        self.name: Final = name
        self.max: Final = max_size
        self.used = 0
        self.pending = 0
        self.timeouts = 0
        self.observer: PoolObserver | None = None
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._pool: RawPool = asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            connect=self._connect,
            command_timeout=command_timeout_seconds,
            server_settings=server_settings(name),
        )

    @property
    def idle(self) -> int:
        """Open connections that nobody uses."""
        return max(self._pool.get_size() - self.used, 0)

    async def open(self) -> Self:
        """Open the minimum of connections.

        Raises:
            StoreUnavailableError: The server cannot be reached or refuses.
        """
        try:
            await self._pool
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            raise StoreUnavailableError(describe_refusal(error)) from error
        return self

    async def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Wait for connections in use, then close all; past the timeout they are cut off."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout_seconds)
        except TimeoutError:
            self._pool.terminate()

    async def __aenter__(self) -> Self:
        """Open the pool."""
        return await self.open()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pool."""
        await self.close()

    @asynccontextmanager
    async def acquire(
        self, *, timeout_seconds: float | None = None
    ) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        """Lend a connection for the length of the block.

        Raises:
            StoreUnavailableError: None came free in time, or the server refused a new one.
        """
        limit = self._acquire_timeout_seconds if timeout_seconds is None else timeout_seconds
        connection = await self._take(limit)
        self.used += 1
        taken_mono = time.monotonic()
        try:
            yield connection
        finally:
            self.used -= 1
            self._tell_use(time.monotonic() - taken_mono)
            await self._give_back(connection)

    async def _give_back(
        self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
    ) -> None:
        try:
            await self._pool.release(connection, timeout=CONNECT_TIMEOUT_SECONDS)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            # The session is gone; asyncpg has dropped it, and the error of whoever used it counts.
            return

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement on a connection of the moment."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args)

    async def executemany(self, query: str, args: Sequence[Sequence[object]]) -> None:
        """Run a statement once per row of arguments, in one transaction."""
        async with self.acquire() as connection:
            await connection.executemany(query, args)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return all rows."""
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """Return the first row or None."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a value of any type
        """Return the first value of the first row or None."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)

    async def _take(
        self, limit_seconds: float
    ) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        self.pending += 1
        outcome = "error"
        began_mono = time.monotonic()
        try:
            connection = await self._pool.acquire(timeout=limit_seconds)
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except TimeoutError as error:
            outcome = "timeout"
            self.timeouts += 1
            raise StoreUnavailableError(
                f"No connection of pool {self.name!r} came free within {limit_seconds:g} s: "
                f"{self.used} of {self.max} in use, {self.pending} waiting. Raise DB_POOL_MAX_SIZE "
                "or find what holds them."
            ) from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailableError(describe_refusal(error)) from error
        finally:
            self.pending -= 1
            if self.observer is not None:
                self.observer.waited(time.monotonic() - began_mono, outcome)
        return connection

    def _tell_use(self, seconds: float) -> None:
        if self.observer is not None:
            self.observer.used(seconds)

    async def _connect(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - asyncpg's hook
        began_mono = time.monotonic()
        connection = await asyncpg.connect(*args, timeout=CONNECT_TIMEOUT_SECONDS, **options)
        if self.observer is not None:
            self.observer.created(time.monotonic() - began_mono)
        return connection
