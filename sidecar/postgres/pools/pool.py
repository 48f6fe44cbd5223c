"""`MeteredPool`: asyncpg's pool, with the numbers that asyncpg does not keep."""

import asyncio
import time
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import asyncpg
from typing_extensions import override

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.codec_aware import aware_of_codecs
from sidecar.postgres.connect_failure import unreachable
from sidecar.postgres.connection import (
    CONNECT_TIMEOUT_SECONDS,
    OPENING_ERRORS,
    SESSION_ERRORS,
    RawConnection,
    hide_url,
    is_lost,
    server_settings,
)
from sidecar.postgres.pools.pool_usage import (
    DEFAULT_LEAK_LIMIT_SECONDS,
    AcquireContext,
    PooledConnection,
    PoolUsage,
)

if TYPE_CHECKING:
    _Pool = asyncpg.Pool[asyncpg.Record]
else:
    _Pool = asyncpg.Pool

Option: TypeAlias = Any
"""What is only passed on to asyncpg, which checks it."""


class ConnectTimeoutError(ConnectionError):
    """Opening a connection took too long, which is not the acquire limit of the pool."""


class MeteredPool(_Pool, PoolUsage):
    """A pool that counts its use, waits and time-outs.

    Use it as an async context manager, or call `open` and `close`. Each statement that is run on
    the pool itself goes through `acquire`, which counts.

    Args:
        dsn: Where the server is. It appears in no message.
        name: The pool's name in metrics; also `application_name` at the server.
        min_size: Connections kept open.
        max_size: Connections at most.
        acquire_timeout_seconds: How long an acquire waits at most; always finite.
        command_timeout_seconds: How long a statement may take; None for no limit.
        leak_limit_seconds: How long a connection may be checked out before it counts as a leak.
        options: Further ones of `asyncpg.create_pool`: `init`, `setup`, `reset`, `ssl` and so on.
    """

    def __init__(
        self,
        dsn: str,
        *,
        name: str = "default",
        min_size: int = 5,
        max_size: int = 20,
        acquire_timeout_seconds: float = 10.0,
        command_timeout_seconds: float | None = None,
        leak_limit_seconds: float = DEFAULT_LEAK_LIMIT_SECONDS,
        **options: Option,
    ) -> None:
        PoolUsage.__init__(self, name, max_size, leak_limit_seconds)
        self._dsn = dsn
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._open_connection = options.pop("connect", asyncpg.connect)
        self._reset_session = options.pop("reset", _reset_session)
        # Backends whose session needs no reset when its connection comes back.
        self._untouched: Final[set[int]] = set()
        settings = options.pop("server_settings", None) or {}
        own = {
            "min_size": min_size,
            "max_size": max_size,
            "connect": self._open_counted,
            "reset": self._reset_touched,
            "command_timeout": command_timeout_seconds,
            "connection_class": aware_of_codecs(options.pop("connection_class", None)),
            "server_settings": server_settings(name, **settings),
        }
        defaults = asyncpg.create_pool.__kwdefaults__ or {}
        _Pool.__init__(self, dsn, **{**defaults, **own, **options})

    @property
    def dsn(self) -> str:
        """Where its server is; holds the password."""
        return self._dsn

    async def open(self) -> Self:
        """Open the minimum of connections.

        Raises:
            DatabaseUrlError: The DSN cannot be read.
            StoreUnavailableError: The server cannot be reached or refuses.
        """
        try:
            await super().__aenter__()
        except OPENING_ERRORS as error:
            raise unreachable(error, self._dsn) from error
        return self

    @override
    async def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Wait for connections in use, then close all; after the timeout those in use as well."""
        try:
            await asyncio.wait_for(super().close(), timeout_seconds)
        except TimeoutError:
            self.terminate()

    @override
    async def __aenter__(self) -> Self:
        return await self.open()

    @override
    def __await__(self) -> Generator[object, None, Self]:
        return self.open().__await__()

    @override
    def acquire(self, *, timeout: float | None = None) -> AcquireContext:
        """Acquire a connection: for a block with `async with`, until `release` with `await`.

        Args:
            timeout: How many seconds to wait at most; the pool's own limit by default.

        Raises:
            StoreUnavailableError: None came free in time, or the server refused a new one.
        """
        limit = self._acquire_timeout_seconds if timeout is None else timeout
        return AcquireContext(partial(self._take, limit), self._give_back)

    def acquire_untouched(self) -> AcquireContext:
        """Acquire a connection for a block that leaves the session as it found it.

        It must not set anything outside of a transaction, listen, or take session locks: the reset
        is left out, which saves a round trip each time. Otherwise it is as with `acquire`.
        """
        return AcquireContext(self._take_untouched, self._give_back)

    @override
    async def release(
        self,
        connection: PooledConnection,
        *,
        timeout: float | None = None,
    ) -> None:
        """Return what `await acquire()` gave; a second time makes no difference."""
        limit = CONNECT_TIMEOUT_SECONDS if timeout is None else timeout
        try:
            await super().release(connection, timeout=limit)
        finally:
            self.record_returned(connection)

    @override
    def set_connect_args(self, dsn: str | None = None, **options: Option) -> None:
        """Choose how connections are opened from now on."""
        self._dsn = dsn or self._dsn
        settings = options.pop("server_settings", None) or {}
        options["server_settings"] = server_settings(self.name, **settings)
        super().set_connect_args(dsn, **options)

    async def _take(self, limit_seconds: float) -> PooledConnection:
        try:
            return await self.track(super().acquire(timeout=limit_seconds))
        except TimeoutError as error:
            raise StoreUnavailableError(
                f"No connection of pool {self.name!r} came free within {limit_seconds:g} s: "
                f"{self.used} of {self.max} in use, {self.pending + 1} waiting. Raise its "
                "max_size (a worker's is DB_POOL_MAX_SIZE) or find what holds them."
            ) from error
        except OPENING_ERRORS as error:
            if isinstance(error, asyncpg.InterfaceError):
                _refuse_misuse(self.name, error)
            raise unreachable(error, self._dsn) from error

    async def _take_untouched(self) -> PooledConnection:
        connection = await self._take(self._acquire_timeout_seconds)
        self._untouched.add(connection.get_server_pid())
        return connection

    async def _reset_touched(self, connection: RawConnection) -> None:
        pid = connection.get_server_pid()
        if pid in self._untouched:
            self._untouched.discard(pid)
        else:
            await self._reset_session(connection)

    async def _give_back(self, connection: PooledConnection, error: BaseException | None) -> None:
        lost = error is not None and is_lost(connection, error)
        if error is not None:
            self._untouched.clear()
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                await self._replace_read_only(connection)
        # When the session is gone, asyncpg drops it, and the error of the block counts.
        with suppress(*SESSION_ERRORS, TimeoutError):
            await self.release(connection)
        if lost:
            raise StoreUnavailableError(
                f"A session of pool {self.name!r} ended while it was in use; what was under way "
                "may have been committed."
            ) from error

    async def _replace_read_only(self, connection: PooledConnection) -> None:
        """Replace sessions that began read-only, and would stay so once the server takes writes."""
        with suppress(*SESSION_ERRORS):
            settings = connection.get_settings()
            if getattr(settings, "default_transaction_read_only", "off") == "on":
                await self.expire_connections()

    async def _open_counted(self, *args: Option, **options: Option) -> Option:
        began_mono = time.monotonic()
        try:
            with hide_url():
                connection = await self._open_connection(
                    *args, **{"timeout": CONNECT_TIMEOUT_SECONDS, **options}
                )
        except TimeoutError as error:
            raise ConnectTimeoutError from error
        self.record_opened(time.monotonic() - began_mono)
        connection.add_termination_listener(self.record_closed)
        return connection


def _refuse_misuse(name: str, error: asyncpg.InterfaceError) -> None:
    """Distinguish a mistake of the application from a failure of the server, by asyncpg's text.

    Raises:
        StoreUnavailableError: The pool is not open.
    """
    words = str(error)
    if words.startswith(("pool is closed", "pool is closing")):
        raise StoreUnavailableError(
            f"The pool {name!r} is closed: end what uses it before closing it."
        ) from error
    if words.startswith("pool is not initialized"):
        raise StoreUnavailableError(
            f"The pool {name!r} is not open yet: use it within `async with`, or await it first."
        ) from error


async def _reset_session(connection: RawConnection) -> None:
    query = connection.get_reset_query()
    if query:
        await connection.execute(query)
