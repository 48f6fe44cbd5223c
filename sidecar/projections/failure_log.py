"""The log lines about failures: one ERROR each with its traceback, one CRITICAL for the sum."""

import logging
from collections.abc import Sequence
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.projection import Partition
from sidecar.projections.statement_text import head_of

MAX_NAMED_STREAMS: Final = 10

logger = logging.getLogger(__name__)


def log_failure(
    partition: Partition, record: RecordedEvent, error: BaseException, action: str, attempt: int
) -> None:
    """Log one failed event with its traceback."""
    error_type = type(error).__name__
    logger.error(
        "Projection %s failed for event %s at position %d of stream %s: %s (attempt %d, %s)",
        partition,
        record.type,
        record.position,
        record.stream,
        error_type,
        attempt,
        action,
        exc_info=error,
        extra={
            "event": "sidecar.event.failed",
            "projection": partition.projection,
            "position": record.position,
            "stream": record.stream,
            "event_type": record.type,
            "error_type": error_type,
            "action": action,
            "attempt": attempt,
        },
    )


def log_parked(partition: Partition, records: Sequence[RecordedEvent]) -> None:
    """Log once per transaction what the read model now lacks, if anything."""
    if not records:
        return
    named = [record.stream for record in records[:MAX_NAMED_STREAMS]]
    logger.critical(
        "Projection %s could not apply %d event(s); its read model lacks them. Parked: %s%s. "
        "See `sidecar dead-letters list --projection %s`",
        partition.projection,
        len(records),
        ", ".join(named),
        ", ..." if len(records) > len(named) else "",
        partition.projection,
        extra={
            "event": "sidecar.projections.failed",
            "projections": [partition.projection],
            "streams": named,
        },
    )


def log_interruption(partition: Partition, event: str, reason: str) -> None:
    """Log what rolled a transaction back; the loop goes on without help."""
    logger.warning(
        "Projection %s: %s; nothing is lost, it goes on from its checkpoint",
        partition,
        reason,
        extra={"event": event, "projection": partition.projection},
    )


def log_eager(partition: Partition, query: str, error: BaseException, *, is_all: bool) -> None:
    """Log that a statement is no longer held back, for the handler reads what it answers."""
    logger.warning(
        "Projection %s reads the status of a statement, so %s sent at once from here on, which is "
        "slower; set `eager = True` on it, or ask with `fetchval` and RETURNING. The statement "
        "begins with: %s",
        partition,
        _which(is_all=is_all),
        head_of(query),
        exc_info=error,
        extra={"event": "sidecar.projection.eager", "projection": partition.projection},
    )


def log_unfit(partition: Partition, query: str, *, is_all: bool) -> None:
    """Log that a statement is no longer held back, for batches fail by it that pass one by one."""
    logger.warning(
        "Projection %s has a statement that fails when it is held back and passes when it is sent "
        "at once, so %s sent at once from here on, which is slower; put it into `async with "
        "connection.transaction()` and catch its error outside of that, or set `eager = True`. The "
        "statement begins with: %s",
        partition,
        _which(is_all=is_all),
        head_of(query),
        extra={"event": "sidecar.projection.eager", "projection": partition.projection},
    )


def _which(*, is_all: bool) -> str:
    return "each of its statements is, since too many would have to be," if is_all else "that is"


def log_resumed(partition: Partition, stream: str, events: int) -> None:
    """Log that a parked stream was taken up again."""
    logger.info(
        "Projection %s took up stream %s again: %d event(s) applied",
        partition,
        stream,
        events,
        extra={
            "event": "sidecar.stream.resumed",
            "projection": partition.projection,
            "stream": stream,
            "events": events,
        },
    )


def log_erased(partition: Partition, stream: str, version: int) -> None:
    """Log that what was to be tried again is no longer there."""
    logger.warning(
        "Projection %s found nothing to try again: version %d of stream %s is no longer in the log",
        partition,
        version,
        stream,
        extra={
            "event": "sidecar.letter.erased",
            "projection": partition.projection,
            "stream": stream,
        },
    )


def log_halted(partition: Partition, reason: str, error: BaseException) -> None:
    """Log that a projection stands still, for no event can be applied."""
    logger.critical(
        "Projection %s stands still: %s",
        partition,
        reason,
        exc_info=error,
        extra={
            "event": "sidecar.projection.halted",
            "projection": partition.projection,
            "error_type": type(error).__name__,
        },
    )


def log_relieved(partition: Partition) -> None:
    """Log that a projection that stood still goes on."""
    logger.info(
        "Projection %s goes on: its events can be applied again",
        partition,
        extra={"event": "sidecar.projection.relieved", "projection": partition.projection},
    )
