"""Who waits for the connections of one pool, and who has them: numbers that asyncpg lacks."""

import asyncio
import sys
import time
import traceback
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import asyncpg
from typing_extensions import override

if TYPE_CHECKING:
    _AcquireContext = asyncpg.pool.PoolAcquireContext[asyncpg.Record]
else:
    _AcquireContext = asyncpg.pool.PoolAcquireContext

DEFAULT_LEAK_LIMIT_SECONDS: Final = 60.0
STACK_FRAMES: Final = 12

_BELOW: Final = {Path(__file__).parent, Path(asyncpg.__file__).parent}

PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
C = TypeVar("C")


class AcquireOutcome(StrEnum):
    """How waiting for a connection ended."""

    OK = "ok"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ERROR = "error"


class PoolObserver(Protocol):
    """Receives durations, in seconds; it must neither raise nor wait."""

    def waited(self, seconds: float, outcome: str) -> None:
        """An acquire ended: `ok`, `timeout`, `cancelled` or `error`."""

    def used(self, seconds: float) -> None:
        """A connection came back."""

    def created(self, seconds: float) -> None:
        """A connection was opened."""


@dataclass(slots=True, eq=False)
class Checkout:
    """A connection that the pool handed out and has not got back.

    Attributes:
        task: The task that acquired it, while that is alive; None outside of tasks.
        holder: The task's name and coroutine, which outlive it.
        acquired_mono: Monotonic time.
        stack: Where it was acquired; only while stacks are kept.
        is_leak_logged: Whether it has been logged as a leak.
    """

    task: weakref.ref[asyncio.Task[object]] | None
    holder: str
    acquired_mono: float
    stack: traceback.StackSummary | None
    is_leak_logged: bool = False


class PoolUsage(ABC):
    """Acquires, checkouts and numbers of one pool, read from memory. Use it from the pool's loop.

    Its own count of connections in use is the truth: asyncpg counts a connection as idle while it
    is being set up.

    Attributes:
        name: The pool's name in metrics.
        max: Connections that it may open.
        leak_limit_seconds: How long a connection may be checked out before it counts as a leak.
        timeouts: Callers that gave up waiting, since the pool was made.
        closed: Connections closed, by either side, since the pool was made.
        observer: Receives every duration.
    """

    def __init__(self, name: str, max_size: int, leak_limit_seconds: float) -> None:
        self.name: Final = name
        self.max: Final = max_size
        self.leak_limit_seconds: Final = leak_limit_seconds
        self.timeouts = 0
        self.closed = 0
        self.observer: PoolObserver | None = None
        self._keeps_stacks = False
        # Both in the order in which they began.
        self._waits: Final[dict[object, float]] = {}
        self._checkouts: Final[dict[object, Checkout]] = {}

    @abstractmethod
    def get_size(self) -> int:
        """Return how many connections are open."""

    @property
    def used(self) -> int:
        """Connections handed out and not yet returned, leaving out those that are closed."""
        # A connection that is being returned may be checked out again before that is recorded.
        return min(len(self._checkouts), self.get_size())

    @property
    def idle(self) -> int:
        """Open connections that are not in use."""
        return max(self.get_size() - len(self._checkouts), 0)

    @property
    def pending(self) -> int:
        """Callers that wait for a connection now."""
        return len(self._waits)

    @property
    def oldest_wait_seconds(self) -> float:
        """For how long the caller that waits longest has waited; 0.0 when none waits."""
        # Read by the thread that collects metrics, while the loop goes on.
        began = tuple(self._waits.values())
        return max(time.monotonic() - began[0], 0.0) if began else 0.0

    @property
    def leaks(self) -> int:
        """Connections that are checked out for longer than the limit now."""
        return len(self.overdue())

    def keep_stacks(self) -> None:
        """Remember from now on where each connection is taken, at about 10 µs each."""
        self._keeps_stacks = True

    def overdue(self) -> list[tuple[Checkout, float]]:
        """Return the checkouts older than the limit, with their age in seconds."""
        now = time.monotonic()
        checkouts = tuple(self._checkouts.values())
        aged = ((checkout, now - checkout.acquired_mono) for checkout in checkouts)
        return [
            (checkout, seconds) for checkout, seconds in aged if seconds > self.leak_limit_seconds
        ]

    async def track(self, acquiring: Awaitable[C]) -> C:
        """Wait for a connection, and record the wait, its outcome and the checkout."""
        wait = object()
        began_mono = self._waits[wait] = time.monotonic()
        outcome = AcquireOutcome.ERROR
        try:
            connection = await acquiring
            outcome = AcquireOutcome.OK
        except asyncio.CancelledError:
            outcome = AcquireOutcome.CANCELLED
            raise
        except TimeoutError:
            outcome = AcquireOutcome.TIMEOUT
            self.timeouts += 1
            raise
        finally:
            del self._waits[wait]
            now_mono = time.monotonic()
            if self.observer is not None:
                self.observer.waited(now_mono - began_mono, outcome)
        self._checkouts[connection] = self._make_checkout(now_mono)
        return connection

    def record_returned(self, connection: object) -> None:
        """Record that a connection was returned; a second time makes no difference."""
        checkout = self._checkouts.pop(connection, None)
        if checkout is not None and self.observer is not None:
            self.observer.used(time.monotonic() - checkout.acquired_mono)

    def record_opened(self, seconds: float) -> None:
        """Record how long opening a new connection took."""
        if self.observer is not None:
            self.observer.created(seconds)

    def record_closed(self, connection: object) -> None:
        """Record that a connection was closed, checked out or not.

        Its holder may keep the object for long, but the pool's slot for it is free already.
        """
        self.closed += 1
        self.record_returned(connection)

    def _make_checkout(self, now_mono: float) -> Checkout:
        stack = None
        if self._keeps_stacks:
            newest_first = traceback.walk_stack(sys._getframe())  # noqa: SLF001 - as documented
            frames = dropwhile(_is_below_the_caller, newest_first)
            # Source lines are looked up when the stack is printed.
            stack = traceback.StackSummary.extract(frames, limit=STACK_FRAMES, lookup_lines=False)
            stack.reverse()
        task = asyncio.current_task()
        if task is None:
            return Checkout(None, "no task", now_mono, stack)
        coroutine = getattr(task.get_coro(), "__qualname__", "?")
        return Checkout(weakref.ref(task), f"{task.get_name()} ({coroutine})", now_mono, stack)


def _is_below_the_caller(place: tuple[FrameType, int]) -> bool:
    return Path(place[0].f_code.co_filename).parent in _BELOW


class AcquireContext(_AcquireContext):
    """Acquires one connection: `async with` returns it, `await` leaves that to the caller."""

    __slots__ = ("_acquire", "_release")

    def __init__(
        self,
        acquire: Callable[[], Awaitable[PooledConnection]],
        release: Callable[[PooledConnection, BaseException | None], Awaitable[object]],
    ) -> None:
        self._acquire = acquire
        self._release = release
        self.connection: PooledConnection | None = None

    @override
    async def __aenter__(self) -> PooledConnection:
        self.connection = await self._acquire()
        return self.connection

    @override
    async def __aexit__(self, *exc: object) -> None:
        """Return it, with the error of the block."""
        _, error, _ = exc
        connection, self.connection = self.connection, None
        if connection is not None:
            await self._release(connection, error if isinstance(error, BaseException) else None)

    @override
    def __await__(self) -> Generator[object, None, PooledConnection]:
        return self._acquire().__await__()
