"""Waiting until a read model holds what was appended: one question for all who wait."""

import asyncio
import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from sidecar.errors import (
    ProjectionError,
    ReadModelLateError,
    StoreUnavailableError,
    UsageError,
)
from sidecar.events.append_arguments import is_storable
from sidecar.events.wait import wait_at_most
from sidecar.postgres.checkpoints.block import unknown_projection
from sidecar.postgres.connection import SESSION_ERRORS
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.projections.ports import State

FIRST_SECONDS: Final = 0.002
LONGEST_SECONDS: Final = 0.05
SHORTEST_TIMEOUT_SECONDS: Final = 0.1
"""So long the first answer is waited for."""
_GROWTH: Final = 1.5
_LAST_POSITION: Final = 2**63 - 1


@dataclass(eq=False, slots=True)
class _Waiter:
    """Who waits for what.

    Attributes:
        reached: Up to where the projection was when it was last asked; None before the first time.
        future: Done once it has come, or will not.
    """

    position: int
    projection: str
    stream: str | None
    reached: int | None = None
    future: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def hear(self, row: asyncpg.Record) -> None:
        """Take what the database says of the projection."""
        self.reached = row["reached"]
        if self.future.done():
            return
        try:
            if has_come(self.position, self.projection, row):
                self.future.set_result(None)
        except ProjectionError as error:
            self.future.set_exception(error)

    def fail(self, error: Exception) -> None:
        """End the wait with an error of its own: each one raised gets another traceback."""
        if not self.future.done():
            own = copy.copy(error)
            own.__cause__ = error
            self.future.set_exception(own)


class ReadYourWrites:
    """Asks for all who wait on one pool, from a task that lives while somebody does."""

    def __init__(self, pool: MeteredPool) -> None:
        self._pool: Final = pool
        self._waiting: Final[set[_Waiter]] = set()
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait_until(
        self, position: int, projection: str, *, stream: str | None, timeout_seconds: float
    ) -> None:
        """Return once a projection has come up to a position, as `EventStore.wait_until` says."""
        _require(position, projection, stream, timeout_seconds)
        waiter = _Waiter(position, projection, stream)
        self._join(waiter)
        limit = asyncio.timeout(max(timeout_seconds, SHORTEST_TIMEOUT_SECONDS))
        try:
            async with limit:
                await waiter.future
        except TimeoutError:
            if not limit.expired():
                raise
            raise _late(waiter, timeout_seconds) from None
        finally:
            self._waiting.discard(waiter)

    def _join(self, waiter: _Waiter) -> None:
        self._waiting.add(waiter)
        self._joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask_repeatedly())

    async def _ask_repeatedly(self) -> None:
        """Ask until nobody waits; at most half of the time is spent on it."""
        pause_seconds = FIRST_SECONDS
        self._joined = asyncio.Event()
        while waiters := tuple(self._waiting):
            began_mono = time.monotonic()
            try:
                await self._ask(waiters)
            except (StoreUnavailableError, TimeoutError, *SESSION_ERRORS) as error:
                for waiter in waiters:
                    waiter.fail(error)
            self._waiting.difference_update(each for each in waiters if each.future.done())
            await asyncio.sleep(max(FIRST_SECONDS, time.monotonic() - began_mono))
            await wait_at_most(self._joined, pause_seconds)
            is_new = self._joined.is_set()
            self._joined.clear()
            pause_seconds = FIRST_SECONDS if is_new else _grow(pause_seconds)

    async def _ask(self, waiters: Sequence[_Waiter]) -> None:
        asked = [(each.projection, each.stream, str(each.position)) for each in waiters]
        projections, streams, positions = map(list, zip(*asked, strict=True))
        rows = await self._pool.fetch(sql("read_reached"), projections, streams, positions)
        for waiter, row in zip(waiters, rows, strict=True):
            waiter.hear(row)


def _require(position: object, projection: object, stream: object, seconds: object) -> None:
    """Refuse what would fail the question that others ask at the same time.

    Raises:
        UsageError: There is no such position, name, stream or length of time.
    """
    if not isinstance(seconds, int | float) or not seconds >= 0:  # not a number is neither
        raise UsageError(f"timeout_seconds is {seconds!r}; that cannot be waited for.")
    if type(position) is not int or not 0 <= position <= _LAST_POSITION:
        raise UsageError(f"The log has no position {position!r}.")
    for name in (projection, "" if stream is None else stream):
        if not isinstance(name, str) or not is_storable(name):
            raise UsageError(f"PostgreSQL has no name {name!r}.")


def _grow(pause_seconds: float) -> float:
    return min(pause_seconds * _GROWTH, LONGEST_SECONDS)


def has_come(position: int, projection: str, row: asyncpg.Record) -> bool:
    """Return True when a projection has come up to a position.

    Raises:
        ProjectionError: It will not come by itself.
    """
    if row["reached"] is None:
        raise unknown_projection(projection)
    if row["parked"] is not None:
        raise ProjectionError(
            f"Stream {row['parked']} of {projection} is parked: an event of it failed, and those "
            "behind it wait; see `sidecar dead-letters list`."
        )
    if row["reached"] >= position and not row["is_retried"]:
        return True
    if row["state"] != State.RUNNING:
        raise ProjectionError(f"{projection} is {row['state']}: {row['detail'] or 'on request'}.")
    return False


def _late(waiter: _Waiter, timeout_seconds: float) -> ReadModelLateError:
    within = f"within {timeout_seconds:g} s"
    if waiter.reached is None:
        return ReadModelLateError(
            f"PostgreSQL has not said {within} how far {waiter.projection} is."
        )
    if waiter.reached >= waiter.position:
        return ReadModelLateError(
            f"{waiter.projection} has come to position {waiter.position}, but {within} an event up "
            "to there still waits for its next try."
        )
    return ReadModelLateError(
        f"{waiter.projection} is at position {waiter.reached} and has not come to "
        f"{waiter.position} {within}."
    )
