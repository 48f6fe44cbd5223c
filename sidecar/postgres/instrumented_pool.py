"""A plain asyncpg pool that the service has made, counted without replacing it."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, TypeGuard

import asyncpg
from typing_extensions import override

from sidecar.postgres.connection import RawPool
from sidecar.postgres.pool_usage import (
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
        self._pool = pool
        self._original: Final = type(pool)
        # asyncpg's pool has slots, so that no method can be set on the instance.
        self._counted: Final = type(
            self._original.__name__,
            (self._original,),
            {
                "__slots__": (),
                _MARK: self,
                "acquire": _make_acquire(self, self._original),
                "release": _make_release(self, self._original),
            },
        )
        pool.__class__ = self._counted

    @override
    def get_size(self) -> int:
        return self._pool.get_size()

    def undo(self) -> None:
        """Give the pool its original methods back."""
        if type(self._pool) is self._counted:
            self._pool.__class__ = self._original


def is_pool(target: object) -> TypeGuard[RawPool]:
    """Return True when something is a pool of asyncpg."""
    return isinstance(target, asyncpg.Pool)


def find_instrumented(pool: object) -> InstrumentedPool | None:
    """Return the numbers of a pool that is instrumented already."""
    found = getattr(type(pool), _MARK, None)
    return found if isinstance(found, InstrumentedPool) else None


def _make_acquire(usage: PoolUsage, original: type[RawPool]) -> Callable[..., Any]:
    async def take(pool: RawPool, limit_seconds: float | None) -> PooledConnection:
        connection = await usage.track(original.acquire(pool, timeout=limit_seconds))
        # Adding the same listener again changes nothing: asyncpg keeps a set.
        connection.add_termination_listener(usage.record_closed)
        return connection

    @wraps(original.acquire)
    def acquire(self: RawPool, *, timeout: float | None = None) -> AcquireContext:
        return AcquireContext(
            partial(take, self, timeout), lambda taken, _error: self.release(taken)
        )

    return acquire


def _make_release(usage: PoolUsage, original: type[RawPool]) -> Callable[..., Any]:
    @wraps(original.release)
    async def release(
        self: RawPool,
        connection: PooledConnection,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's name for it
    ) -> None:
        try:
            await original.release(self, connection, timeout=timeout)
        finally:
            usage.record_returned(connection)

    return release
