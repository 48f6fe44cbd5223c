"""One at a time: who uses a connection now, and how it is taken back from them."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from sidecar.errors import ConcurrentStatementsError

# What is cancelled ends with the server's answer to that.
CLEAR_SECONDS: Final = 5.0


class Turnstile:
    """Refuses a second user while there is one. Not reentrant.

    Attributes:
        user: The task that is inside; None while nobody is.

    Args:
        admit: Raises for a task that may not enter at all.
        note_refusal: Hears of each other refusal, for who is refused may catch what is raised.
    """

    __slots__ = ("_admit", "_freed", "_note_refusal", "user")

    def __init__(
        self,
        admit: Callable[[asyncio.Task[Any] | None], None],
        note_refusal: Callable[[ConcurrentStatementsError], None],
    ) -> None:
        self.user: asyncio.Task[Any] | None = None
        self._admit = admit
        self._note_refusal = note_refusal
        self._freed: asyncio.Event | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        self._admit(task)
        if self.user is not None:
            refusal = ConcurrentStatementsError(
                "Two statements at a time on one connection, as with `asyncio.gather`; await one "
                "before the next."
            )
            self._note_refusal(refusal)
            raise refusal
        self.user = task

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.user = None
        if self._freed is not None:
            self._freed.set()

    async def clear(self) -> None:
        """Cancel whoever is inside and wait until they have left.

        Raises:
            ConcurrentStatementsError: They stay.
        """
        user = self.user
        if user is None or user is asyncio.current_task():
            return
        self._freed = asyncio.Event()
        user.cancel()
        try:
            async with asyncio.timeout(CLEAR_SECONDS):
                await self._freed.wait()
        except TimeoutError:
            raise ConcurrentStatementsError(
                "A task goes on with a statement of its own after its handler has ended."
            ) from None
        finally:
            self._freed = None
