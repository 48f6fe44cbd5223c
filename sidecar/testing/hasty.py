"""Loops that wait for nothing, and end once all is done with."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from sidecar.projections.context import PartitionContext
from sidecar.projections.live_copy import LiveCopy
from sidecar.projections.rebuild_copy import RebuildCopy
from sidecar.projections.retry import Park, Retry, RetryPolicy

RETRY_SECONDS: Final = 0.001


class RetryAtOnce(RetryPolicy):
    """Waits for nothing."""

    @override
    def decide(self, attempt: int, streak: int, jitter_ratio: float) -> Retry | Park:
        return Park() if attempt >= self.max_attempts else Retry(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HastyContext(PartitionContext):
    """Waits for nothing either."""

    @override
    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(0)


class ToTheHead(LiveCopy):
    """Ends once all is done with, in place of waiting for more."""

    @override
    async def caught_up(self) -> None:
        if self._cursor.is_ahead:
            await self._cursor.pass_over()
        elif await self._context.store.has_due_dead_letters(
            self._context.partition, self._cursor.stored
        ):
            await asyncio.sleep(RETRY_SECONDS)
        else:
            self._context.stop()


class FillToTheHead(RebuildCopy):
    """Fills a new copy, and leaves the swap away."""

    @override
    async def caught_up(self) -> None:
        if self._cursor.is_ahead:
            await self._cursor.pass_over()
        else:
            self._context.stop()


class Deaf:
    """A loop's observer that hears nothing."""

    def batch(self, *_: object) -> nullcontext[None]:
        """Observe nothing."""
        return nullcontext()

    def event_failed(self, *_: object) -> None:
        """Do nothing."""

    def trace_id(self) -> str | None:
        """Return None: there is no trace."""
        return None

    def redact(self, text: str) -> str:
        """Return the text: nothing of it is kept."""
        return text
