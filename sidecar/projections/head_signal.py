"""How a worker's loops learn that the safe head moved, without asking the database each."""

import asyncio

from sidecar.events.wait import wait_at_most


class HeadSignal:
    """The safe head of this process; one task advances it, any number wait.

    Attributes:
        position: As it is known so far; 0 before.
        is_known: Whether the log was asked since the start, or since the last `restart`.
    """

    def __init__(self) -> None:
        self.position = 0
        self.is_known = False
        self._changed = asyncio.Event()

    def advance(self, position: int) -> None:
        """Set a higher position and wake those who wait."""
        self.is_known = True
        if position > self.position:
            self.position = position
            self.wake()

    def restart(self) -> None:
        """Forget the position: another session may see another server, with a shorter log."""
        self.position = 0
        self.is_known = False

    def wake(self) -> None:
        """Wake those who wait, whether or not the head moved."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_beyond(self, position: int, limit_seconds: float) -> None:
        """Return when the head is above `position`, on a wake-up, or after the limit."""
        if self.position > position:
            return
        await wait_at_most(self._changed, limit_seconds)
