"""Who waits for the connections of one pool, and who has them: counts that asyncpg lacks."""

import asyncio
import sys
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Protocol, TypeVar

STACK_FRAMES: Final = 12

_HERE: Final = Path(__file__).parent

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


class PoolUsage:
    """Acquires and checkouts of one pool. Use it from the pool's event loop.

    Attributes:
        timeouts: Callers that gave up waiting.
        closed: Connections closed, by either side.
        observer: Receives every duration.
        keeps_stacks: Keep the stack of each acquire; about 10 µs each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeouts = 0
        self.closed = 0
        self.observer: PoolObserver | None = None
        self.keeps_stacks = False
        self._clock: Final = clock
        # Both in the order in which they began.
        self._waits: Final[dict[object, float]] = {}
        self._checkouts: Final[dict[object, Checkout]] = {}

    @property
    def checked_out(self) -> int:
        """Connections handed out and not yet returned, leaving out those that are closed."""
        return len(self._checkouts)

    @property
    def pending(self) -> int:
        """Callers that wait now."""
        return len(self._waits)

    @property
    def oldest_wait_seconds(self) -> float:
        """For how long the caller that waits longest has waited; 0.0 when none waits."""
        # Read by the thread that collects metrics, while the loop goes on.
        began = tuple(self._waits.values())
        return max(self._clock() - began[0], 0.0) if began else 0.0

    def overdue(self, limit_seconds: float) -> list[tuple[Checkout, float]]:
        """Return the checkouts older than a limit, with their age in seconds."""
        now = self._clock()
        checkouts = tuple(self._checkouts.values())
        aged = ((checkout, now - checkout.acquired_mono) for checkout in checkouts)
        return [(checkout, seconds) for checkout, seconds in aged if seconds > limit_seconds]

    async def track(self, acquiring: Awaitable[C]) -> C:
        """Wait for a connection, and record the wait, its outcome and the checkout."""
        wait = object()
        began_mono = self._waits[wait] = self._clock()
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
            now_mono = self._clock()
            if self.observer is not None:
                self.observer.waited(now_mono - began_mono, outcome)
        self._checkouts[connection] = self._make_checkout(now_mono)
        return connection

    def record_returned(self, connection: object) -> None:
        """Record that a connection was returned; a second time makes no difference."""
        checkout = self._checkouts.pop(connection, None)
        if checkout is not None and self.observer is not None:
            self.observer.used(self._clock() - checkout.acquired_mono)

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
        if self.keeps_stacks:
            newest_first = traceback.walk_stack(sys._getframe())  # noqa: SLF001 - as documented
            frames = dropwhile(_is_in_this_room, newest_first)
            # Source lines are looked up when the stack is printed.
            stack = traceback.StackSummary.extract(frames, limit=STACK_FRAMES, lookup_lines=False)
            stack.reverse()
        task = asyncio.current_task()
        if task is None:
            return Checkout(None, "no task", now_mono, stack)
        coroutine = getattr(task.get_coro(), "__qualname__", "?")
        return Checkout(weakref.ref(task), f"{task.get_name()} ({coroutine})", now_mono, stack)


def _is_in_this_room(place: tuple[FrameType, int]) -> bool:
    return Path(place[0].f_code.co_filename).parent == _HERE


class AcquireContext(Awaitable[C]):
    """Acquires one connection: `async with` returns it, `await` leaves that to the caller."""

    __slots__ = ("_acquire", "_connection", "_release")

    def __init__(
        self,
        acquire: Callable[[], Awaitable[C]],
        release: Callable[[C, BaseException | None], Awaitable[object]],
    ) -> None:
        self._acquire = acquire
        self._release = release
        self._connection: C | None = None

    async def __aenter__(self) -> C:
        """Wait for the connection."""
        self._connection = await self._acquire()
        return self._connection

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Return it, with the error of the block."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._release(connection, error)

    def __await__(self) -> Generator[object, None, C]:
        """Wait for the connection."""
        return self._acquire().__await__()
