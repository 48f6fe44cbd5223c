"""Where one partition stands in the log."""

import time
from contextlib import AbstractAsyncContextManager
from typing import Final

from sidecar.errors import ProjectionPausedError
from sidecar.projections.context import PartitionContext
from sidecar.projections.ports import State, Transaction

# A checkpoint that only passed over events nobody handles is stored this often.
UNHANDLED_MOVE_SECONDS: Final = 1.0
_UNKNOWN: Final = -1


class Cursor:
    """How far one partition has looked, and its checkpoint, at which transactions are opened.

    Attributes:
        seen: Position up to which everything was looked at.
        stored: The checkpoint in the database, as far as this process knows.
        discarded: Positions above it that are to be passed over.
        is_halted: Whether the checkpoint is kept where it is, marked as failed, by its own loop.
    """

    def __init__(self, context: PartitionContext) -> None:
        self.seen = 0
        self.stored = _UNKNOWN
        self.discarded: frozenset[int] = frozenset()
        self.is_halted = False
        self._moved_mono = 0.0
        self._context: Final = context

    @property
    def is_known(self) -> bool:
        """Whether the checkpoint was read, and nothing came between since."""
        return self.stored != _UNKNOWN

    @property
    def is_ahead(self) -> bool:
        """Whether more was looked at than is stored."""
        return self.seen > self.stored

    @property
    def is_move_due(self) -> bool:
        """Whether the checkpoint was left where it is for long enough."""
        return time.monotonic() - self._moved_mono > UNHANDLED_MOVE_SECONDS

    async def load(self) -> None:
        """Go to the stored checkpoint.

        Raises:
            CheckpointGoneError: It has no row.
            ProjectionPausedError: The projection is not to run.
        """
        checkpoint = await self._context.store.read_checkpoint(self._context.partition)
        if checkpoint.state is State.FAILED and self._context.partition.copy == "live":
            # By a setup elsewhere, before this worker, whose own succeeded, had the lease; or by a
            # loop that stood still, and this one finds out by itself whether that is over.
            if not self.is_halted:
                await self._context.store.end_failure(self._context.partition)
        elif checkpoint.state is not State.RUNNING:
            raise ProjectionPausedError(f"{self._context.partition} is {checkpoint.state}.")
        self.discarded = checkpoint.discarded
        self._context.router.declare(checkpoint.declared)
        self._go_to(checkpoint.position)

    def forget(self) -> None:
        """Have the checkpoint read again, for it may be elsewhere."""
        self.stored = _UNKNOWN

    def begin(self, *, eager: bool) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction at the checkpoint; raises what `ProjectionStore.begin` does."""
        return self._context.store.begin(
            self._context.partition,
            self.stored,
            eager=eager,
            repeatable=self._context.subscription.is_repeatable,
            halted=self.is_halted,
        )

    def saw(self, position: int) -> None:
        """Record that there is nothing to be handled up to a position; it is not stored yet."""
        self.seen = position

    async def pass_over(self) -> None:
        """Store that all of what was seen is done with, though nothing of it was to be handled."""
        async with self.begin(eager=True) as transaction:
            await transaction.move(self.seen)
        self.moved(self.seen, events=0)

    def moved(self, position: int, events: int) -> None:
        """Record that a transaction moved the checkpoint and applied so many events."""
        self._go_to(position)
        self._moved_mono = time.monotonic()
        self._context.tally.progress_at = time.time()
        self.applied(events)

    def applied(self, events: int) -> None:
        """Record that a transaction applied so many events."""
        self._context.tally.applied += events

    def _go_to(self, position: int) -> None:
        self.seen = self.stored = self._context.tally.position = position
