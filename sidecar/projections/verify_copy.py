"""Filling a copy of a read model that nobody reads, and comparing the live one with it.

The copy is filled no further than the live one is, so that both can be brought to one position: in
one snapshot, what the live copy has applied beyond it is applied to it as well, and both are
compared. That is rolled back each time, so that the copy goes on from where it was.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from sidecar.errors import ProjectionError, RebuildStrayedError
from sidecar.events.record import RecordedEvent
from sidecar.projections.comparison import Part, Report, describe
from sidecar.projections.context import PartitionContext
from sidecar.projections.copy_tail import apply_tail
from sidecar.projections.cursor import Cursor
from sidecar.projections.environment_failure import describe_error
from sidecar.projections.failure_handler import FailureHandler, RebuildHaltedError
from sidecar.projections.ports import ProjectionStore, Transaction
from sidecar.projections.projection import Partition
from sidecar.projections.retry import GaplessPolicy

WAIT_SECONDS: Final = 0.2
"""After this long it looks again whether the live copy has moved on."""
TAKE_UP_EVENTS: Final = 500
MAX_TAIL_EVENTS: Final = 5000
"""Where the live copy is further ahead, the copy is filled first, or waits."""

_QUALIFIED: Final = (
    "; a statement that names a table with its schema writes to the live one, so name it without"
)
_TAKEN: Final = "UniqueViolationError"
_STRAYED: Final = "; a statement that goes by a view of a live table writes to that table"

logger = logging.getLogger(__name__)


class ShadowTransaction(Transaction, Protocol):
    """One that writes to the copy alone."""

    async def take_up(self, limit: int) -> Sequence[RecordedEvent]:
        """Return events that were withheld and may be applied now; they count as applied then."""


class Comparison(Transaction, Protocol):
    """One look at both copies in one snapshot; what handlers write in it is rolled back."""

    async def live_positions(self) -> tuple[int, int]:
        """Return the lowest and the highest position of the live copy's partitions."""

    async def withheld_events(self, limit: int) -> Sequence[RecordedEvent]:
        """Return what the live copy has applied of streams that were parked."""

    async def missing_events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Return what the live copy has applied beyond the other copy's position."""

    async def compare_next(self) -> Part:
        """Compare the part of a table that is next."""


class VerificationStore(ProjectionStore, Protocol):
    """Where a verification's copy is kept, and what was found."""

    share: float | None

    async def live_position(self) -> int:
        """Return up to where every partition of the live copy has come.

        Raises:
            CheckpointGoneError: The verification is over.
        """

    def fill(
        self, partition: Partition, position: int
    ) -> AbstractAsyncContextManager[ShadowTransaction]:
        """Open a transaction at the copy's position."""

    def compare(
        self, partition: Partition, position: int
    ) -> AbstractAsyncContextManager[Comparison]:
        """Open a comparison."""

    async def keep(self, part: Part, position: int) -> Report | None:
        """Keep what was found; return the report when it was the last part of all."""


def rest_seconds(busy_seconds: float, share: float | None) -> float:
    """Return how long to rest after work, so that it takes this share of the time; None for all."""
    return 0.0 if share is None else busy_seconds * (1 / share - 1)


class VerifyCopy:
    """Follows the live copy, and compares it part by part.

    Attributes:
        failures: Tries a failed event again for a while, then ends the verification.
    """

    def __init__(self, context: PartitionContext, cursor: Cursor, store: VerificationStore) -> None:
        self.failures: Final = FailureHandler(context, GaplessPolicy(context.policy))
        self._context: Final = context
        self._cursor: Final = cursor
        self._store: Final = store
        self._rested_mono = time.monotonic()

    async def before_page(self) -> None:
        """Rest as the share demands, and look how far the live copy is."""
        await self._rest()
        self._context.head.advance(await self._store.live_position())

    async def _rest(self) -> None:
        """Rest for a part of the time since the last rest."""
        busy_seconds = time.monotonic() - self._rested_mono
        await self._context.rest(rest_seconds(busy_seconds, self._store.share))
        self._rested_mono = time.monotonic()

    async def caught_up(self) -> None:
        """Compare the next part, or wait until the live copy has moved on."""
        if self._cursor.is_ahead:
            await self._cursor.pass_over()
            self.failures.recovered()
        if await self._take_up():
            return
        found = await self._compare()
        if found is None:
            await self._context.head.wait_beyond(self._cursor.seen, WAIT_SECONDS)
            return
        report = await self._store.keep(*found)
        if report is not None:
            _log_verified(self._context.partition.projection, report)
            self._context.stop()

    async def _take_up(self) -> bool:
        """Apply events that were withheld; return True when there may be more."""
        place = self._context.partition, self._cursor.stored
        async with self._store.fill(*place) as transaction:
            records = await transaction.take_up(TAKE_UP_EVENTS)
            await apply_tail(self._context, transaction, records)
        return bool(records)

    async def _compare(self) -> tuple[Part, int] | None:
        """Return what was found and at which position; None when both are not at one."""
        place = self._context.partition, self._cursor.stored
        async with self._store.compare(*place) as comparison:
            lowest, highest = await comparison.live_positions()
            if lowest < self._cursor.stored or not await self._bring_up(comparison):
                return None
            return await comparison.compare_next(), highest

    async def _bring_up(self, comparison: Comparison) -> bool:
        """Bring the copy to where the live one is; return False when that is too far."""
        withheld = await comparison.withheld_events(TAKE_UP_EVENTS)
        await apply_tail(self._context, comparison, withheld)
        if len(withheld) == TAKE_UP_EVENTS:
            return False
        events, after = 0, 0
        while records := await comparison.missing_events(after, TAKE_UP_EVENTS):
            await apply_tail(self._context, comparison, records)
            events, after = events + len(records), records[-1].position
            if events > MAX_TAIL_EVENTS:
                return False
        return True

    async def halts(self, error: Exception) -> bool:
        """End the verification for an error that it cannot go on after; the live copy goes on."""
        match error:
            case RebuildHaltedError():
                reason = f"{error}, which the live copy has applied"
                if any("." in table for table in self._context.subscription.tables):
                    reason += _QUALIFIED
                elif error.error_type == _TAKEN:
                    reason += _STRAYED
            case ProjectionError() | RebuildStrayedError():
                reason = str(error).rstrip(".")
            case _:
                # The log has it, with the traceback.
                reason = describe_error(error, self._context.observer.redact)
        projection = self._context.partition.projection
        await self._store.halt(self._context.partition, reason)
        logger.error(
            "%s cannot be verified: %s. The live copy goes on",
            projection,
            reason,
            exc_info=error,
            extra={
                "event": "sidecar.verification.failed",
                "projection": projection,
                "error_type": type(error).__name__,
            },
        )
        return True


def _log_verified(projection: str, report: Report) -> None:
    is_wrong = report.drift_rows > 0
    logger.log(
        logging.CRITICAL if is_wrong else logging.INFO,
        "Verification of %s",
        describe(projection, report),
        extra={
            "event": "sidecar.verification.ended",
            "projection": projection,
            "rows": report.drift_rows,
        },
    )
