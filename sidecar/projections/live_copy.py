"""Keeping the copy of a read model that people read."""

from typing import Final

from sidecar.projections.context import IDLE_SECONDS, PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.dead_letter_retry import DeadLetterRetrier
from sidecar.projections.failure_handler import FailureHandler


class LiveCopy:
    """Goes around events that fail, retries them, and waits at the safe head."""

    def __init__(self, context: PartitionContext, cursor: Cursor) -> None:
        self.failures: Final = FailureHandler(context, context.policy)
        self._context: Final = context
        self._cursor: Final = cursor
        self._retrier: Final = DeadLetterRetrier(context, cursor, self.failures)

    async def before_page(self) -> None:
        """Retry one parked stream, if one is due."""
        await self._retrier.retry_next()

    async def caught_up(self) -> None:
        """Store the position now and then; else wait for events or for the next retry."""
        if self._cursor.is_ahead and self._cursor.is_move_due:
            await self._cursor.pass_over()
            self.failures.recovered()
        elif not self._retrier.goes_on:
            self.failures.recovered()
            limit_seconds = min(IDLE_SECONDS, self._retrier.look_in_seconds)
            await self._context.head.wait_beyond(self._cursor.seen, limit_seconds)

    async def halts(self, error: Exception) -> bool:  # noqa: ARG002 - as the strategy says
        """Return False: what halts a live copy is the environment alone."""
        return False
