"""A plain asyncpg pool that somebody else has made, counted where it stands."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, TypeGuard

import asyncpg

from sidecar.postgres.connection import RawPool
from sidecar.postgres.count import PoolCounts
from sidecar.postgres.lending import Borrowing, Lending
from sidecar.postgres.pool import DEFAULT_LEAK_LIMIT_SECONDS
from sidecar.postgres.statement import Lent

_MARK: Final = "_adopted_by"


class AdoptedPool(PoolCounts):
    """The numbers of a pool, from the moment it is adopted until `undo`.

    Connections that were lent before are not known, nor closed ones that were never lent.

    Attributes:
        name: The pool's name in metrics.
        lending: Who holds its connections.

    Args:
        pool: Stays its owner's, with every method and signature that it has.
        name: The pool's name in metrics.
    """

    def __init__(self, pool: RawPool, name: str) -> None:
        self.name = name
        self.max: Final = pool.get_max_size()
        self.leak_limit_seconds = DEFAULT_LEAK_LIMIT_SECONDS
        self.lending = Lending()
        self._pool = pool
        self._original: Final = type(pool)
        # asyncpg's pool has slots, so that no method can be set on the instance.
        self._counted: Final = type(
            self._original.__name__,
            (self._original,),
            {
                "__slots__": (),
                _MARK: self,
                "acquire": _make_acquire(self.lending, self._original),
                "release": _make_release(self.lending, self._original),
            },
        )
        pool.__class__ = self._counted

    def undo(self) -> None:
        """Give the pool its own methods back."""
        if type(self._pool) is self._counted:
            self._pool.__class__ = self._original


def is_pool(target: object) -> TypeGuard[RawPool]:
    """Tell whether something is a pool of asyncpg's."""
    return isinstance(target, asyncpg.Pool)


def find_adopted(pool: object) -> AdoptedPool | None:
    """Return who counts a pool already."""
    adopted = getattr(type(pool), _MARK, None)
    return adopted if isinstance(adopted, AdoptedPool) else None


def _make_acquire(lending: Lending, original: type[RawPool]) -> Callable[..., Any]:
    async def take(pool: RawPool, limit_seconds: float | None) -> Lent:
        connection = await lending.take(original.acquire(pool, timeout=limit_seconds))
        # The same listener again is the same one: asyncpg keeps a set of them.
        connection.add_termination_listener(lending.note_closed)
        return connection

    @wraps(original.acquire)
    def acquire(self: RawPool, *, timeout: float | None = None) -> Borrowing[Lent]:
        return Borrowing(partial(take, self, timeout), lambda lent, _error: self.release(lent))

    return acquire


def _make_release(lending: Lending, original: type[RawPool]) -> Callable[..., Any]:
    @wraps(original.release)
    async def release(
        self: RawPool,
        connection: Lent,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's name for it
    ) -> None:
        try:
            await original.release(self, connection, timeout=timeout)
        finally:
            lending.end(connection)

    return release
