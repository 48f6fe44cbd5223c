"""Exclusive use of a connection by one task at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from sidecar.errors import ConcurrentStatementsError

# A cancelled statement ends with the server's answer to that.
CLEAR_SECONDS: Final = 5.0


class Turnstile:
    """Refuses a second user while there is one. Not reentrant.

    Attributes:
        user: The task that is inside; None while none is.

    Args:
        admit: Raises for a task that must not enter at all.
        record_refusal: Called at each other refusal, since the refused task may catch the error.
    """

    __slots__ = ("_admit", "_freed", "_record_refusal", "user")

    def __init__(
        self,
        admit: Callable[[asyncio.Task[Any] | None], None],
        record_refusal: Callable[[ConcurrentStatementsError], None],
    ) -> None:
        self.user: asyncio.Task[Any] | None = None
        self._admit = admit
        self._record_refusal = record_refusal
        self._freed: asyncio.Event | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        self._admit(task)
        if self.user is not None:
            refusal = ConcurrentStatementsError(
                "Two statements at a time on one connection, as with `asyncio.gather`; await one "
                "before the next."
            )
            self._record_refusal(refusal)
            raise refusal
        self.user = task

    def __exit__(self, *_: object) -> None:
        self.user = None
        if self._freed is not None:
            self._freed.set()

    async def clear(self) -> None:
        """Cancel the task that is inside and wait until it has left.

        Raises:
            ConcurrentStatementsError: It stays.
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
