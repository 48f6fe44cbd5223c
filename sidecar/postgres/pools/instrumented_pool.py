"""A plain asyncpg pool that the service has made, counted without replacing it."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, TypeGuard

import asyncpg
from typing_extensions import override

from sidecar.postgres.connection import RawPool
from sidecar.postgres.pools.pool_usage import (
    DEFAULT_LEAK_LIMIT_SECONDS,
    AcquireContext,
    PooledConnection,
    PoolUsage,
)

_MARK: Final = "_instrumented_by"


class InstrumentedPool(PoolUsage):
    """The numbers of a pool, from now until `undo`.

    Connections that were checked out before are not counted, nor closed ones that never were.

    Args:
        pool: Its owner goes on using it, with every method and signature that it has.
        name: The pool's name in metrics.
    """

    def __init__(self, pool: RawPool, name: str) -> None:
        super().__init__(name, pool.get_max_size(), DEFAULT_LEAK_LIMIT_SECONDS)
        self._pool: Final = pool
        self._original: Final = type(pool)
        # asyncpg's pool has slots, so that no method can be set on the instance.
        self._counted: Final = type(
            self._original.__name__,
            (self._original,),
            {"__slots__": (), _MARK: self, **self._make_methods()},
        )
        pool.__class__ = self._counted

    @override
    def get_size(self) -> int:
        return self._pool.get_size()

    def undo(self) -> None:
        """Give the pool its original methods back."""
        if type(self._pool) is self._counted:
            self._pool.__class__ = self._original

    def _make_methods(self) -> dict[str, Callable[..., Any]]:
        """Return the methods that count, with the names and signatures of the original ones."""

        @wraps(self._original.acquire)
        def acquire(_: RawPool, *, timeout: float | None = None) -> AcquireContext:
            return AcquireContext(partial(self._take, timeout), self._give_back)

        @wraps(self._original.release)
        async def release(
            _: RawPool, connection: PooledConnection, **options: float | None
        ) -> None:
            try:
                await self._original.release(self._pool, connection, **options)
            finally:
                self.record_returned(connection)

        return {"acquire": acquire, "release": release}

    async def _take(self, limit_seconds: float | None) -> PooledConnection:
        connection = await self.track(self._original.acquire(self._pool, timeout=limit_seconds))
        # Adding the same listener again changes nothing: asyncpg keeps a set.
        connection.add_termination_listener(self.record_closed)
        return connection

    async def _give_back(self, connection: PooledConnection, _: BaseException | None) -> None:
        await self._pool.release(connection)


def is_pool(target: object) -> TypeGuard[RawPool]:
    """Return True when something is a pool of asyncpg."""
    return isinstance(target, asyncpg.Pool)


def find_instrumented(pool: object) -> InstrumentedPool | None:
    """Return the numbers of a pool that is instrumented already."""
    found = getattr(type(pool), _MARK, None)
    return found if isinstance(found, InstrumentedPool) else None
