"""Who waits for the connections of one pool, and who holds them: counts that asyncpg lacks."""

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
    """Hears the durations, in seconds; it must neither raise nor wait."""

    def waited(self, seconds: float, outcome: str) -> None:
        """An acquire ended: `ok`, `timeout`, `cancelled` or `error`."""

    def used(self, seconds: float) -> None:
        """A connection came back."""

    def created(self, seconds: float) -> None:
        """A connection was opened."""


@dataclass(slots=True, eq=False)
class Checkout:
    """A connection in somebody's hands.

    Attributes:
        task: Who took it, for as long as it is alive; None outside of tasks.
        holder: The task's name and coroutine, which outlive it.
        taken_mono: Monotonic time.
        stack: Where it was taken; only while stacks are kept.
        told: Whether its leak has been told of.
    """

    task: weakref.ref[asyncio.Task[object]] | None
    holder: str
    taken_mono: float
    stack: traceback.StackSummary | None
    told: bool = False


class PoolUsage:
    """What one pool's callers wait for and hold. Use it from the pool's event loop.

    Attributes:
        timeouts: Callers that gave up waiting.
        opened: Connections opened.
        closed: Connections closed, by whichever side.
        observer: Hears every duration.
        keeps_stacks: Remember where each connection is taken; about 10 µs each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeouts = 0
        self.opened = 0
        self.closed = 0
        self.observer: PoolObserver | None = None
        self.keeps_stacks = False
        self._clock: Final = clock
        # Both in the order in which they began.
        self._waits: Final[dict[object, float]] = {}
        self._checkouts: Final[dict[object, Checkout]] = {}

    @property
    def held(self) -> int:
        """Connections lent and not yet back, leaving out those that are closed."""
        return len(self._checkouts)

    @property
    def pending(self) -> int:
        """Callers that wait now."""
        return len(self._waits)

    @property
    def oldest_wait_seconds(self) -> float:
        """For how long the caller that waits longest has waited; 0.0 when nobody waits."""
        # Read by whichever thread collects metrics, while the loop goes on.
        began = tuple(self._waits.values())
        return max(self._clock() - began[0], 0.0) if began else 0.0

    def overdue(self, limit_seconds: float) -> list[tuple[Checkout, float]]:
        """Return the checkouts that are older than a limit, with their age in seconds."""
        now = self._clock()
        checkouts = tuple(self._checkouts.values())
        aged = ((checkout, now - checkout.taken_mono) for checkout in checkouts)
        return [(checkout, seconds) for checkout, seconds in aged if seconds > limit_seconds]

    async def take(self, acquiring: Awaitable[C]) -> C:
        """Wait for a connection, and count both the wait and what came of it."""
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

    def end(self, connection: object) -> None:
        """Take note that a connection came back; the second time it makes no difference."""
        checkout = self._checkouts.pop(connection, None)
        if checkout is not None and self.observer is not None:
            self.observer.used(self._clock() - checkout.taken_mono)

    def note_opened(self, seconds: float) -> None:
        """Take note of a new connection, and of how long opening it took."""
        self.opened += 1
        if self.observer is not None:
            self.observer.created(seconds)

    def note_closed(self, connection: object) -> None:
        """Take note that a connection is no more, in somebody's hands or not.

        Its holder may keep it for long, but the pool's place for it is free already.
        """
        self.closed += 1
        self.end(connection)

    def _make_checkout(self, now_mono: float) -> Checkout:
        stack = None
        if self.keeps_stacks:
            newest_first = traceback.walk_stack(sys._getframe())  # noqa: SLF001 - as documented
            frames = dropwhile(_is_ours, newest_first)
            # Looking up source lines is left to whoever prints them.
            stack = traceback.StackSummary.extract(frames, limit=STACK_FRAMES, lookup_lines=False)
            stack.reverse()
        task = asyncio.current_task()
        if task is None:
            return Checkout(None, "no task", now_mono, stack)
        coroutine = getattr(task.get_coro(), "__qualname__", "?")
        return Checkout(weakref.ref(task), f"{task.get_name()} ({coroutine})", now_mono, stack)


def _is_ours(place: tuple[FrameType, int]) -> bool:
    return Path(place[0].f_code.co_filename).parent == _HERE


class AcquireContext(Awaitable[C]):
    """Lends one connection: `async with` gives it back, `await` leaves that to the caller."""

    __slots__ = ("_connection", "_give_back", "_take")

    def __init__(
        self,
        take: Callable[[], Awaitable[C]],
        give_back: Callable[[C, BaseException | None], Awaitable[object]],
    ) -> None:
        self._take = take
        self._give_back = give_back
        self._connection: C | None = None

    async def __aenter__(self) -> C:
        """Wait for the connection."""
        self._connection = await self._take()
        return self._connection

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back, with what went wrong meanwhile."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._give_back(connection, error)

    def __await__(self) -> Generator[object, None, C]:
        """Wait for the connection."""
        return self._take().__await__()
