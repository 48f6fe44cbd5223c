"""What a loop shows of itself: counts as integers, moments through a Protocol."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sidecar.events.record import RecordedEvent
from sidecar.events.tally import MAX_ERROR_TYPES, OTHER
from sidecar.projections.interruption import Interruption


class Action(StrEnum):
    """What was done about a failure."""

    RETRY = "retry"
    PARK = "park"
    HALT = "halt"


class LoopTask(StrEnum):
    """What a loop does."""

    EVENTS = "events"
    DEAD_LETTERS = "dead letters"


@dataclass(slots=True)
class RunnerTally:
    """What one projection's loop did, since it started.

    Attributes:
        applied: Events handled.
        failures: By (error type, action); error types are bounded, the rest is `_OTHER`.
        heartbeat_at: Unix time of the last completed poll; None before the first.
        heartbeat_mono: Monotonic time of the same, for silence is measured by a clock that is
            never set.
        progress_at: Unix time at which the checkpoint last moved; None before the first.
        position: The checkpoint as this loop knows it.
        replays: Batches that were rolled back and applied again in parts, for something in them
            failed.
        interruptions: What keeps each kind of its work from coming on, though it ends by itself.
    """

    applied: int = 0
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    heartbeat_at: float | None = None
    heartbeat_mono: float | None = None
    progress_at: float | None = None
    position: int = 0
    replays: int = 0
    interruptions: dict[LoopTask, Interruption] = field(default_factory=dict)

    def beat(self) -> None:
        """Record that a poll was completed."""
        self.heartbeat_at, self.heartbeat_mono = time.time(), time.monotonic()

    def add_failure(self, error_type: str, action: Action) -> None:
        """Count one."""
        known = {name for name, _ in self.failures}
        if error_type not in known and len(known) >= MAX_ERROR_TYPES:
            error_type = OTHER
        self.failures[error_type, action.value] += 1


class RunnerObserver(Protocol):
    """What the telemetry implements; it must neither raise nor wait."""

    def batch(
        self, projection: str, events: Sequence[RecordedEvent]
    ) -> AbstractContextManager[object]:
        """Observe a batch for the length of the block, which ends in the task that began it."""

    def event_failed(
        self, event: RecordedEvent, error: BaseException, action: str, attempt: int
    ) -> None:
        """An event failed inside the batch that is observed in this task."""

    def trace_id(self) -> str | None:
        """Return the trace under way, 32 hex digits, if there is one."""

    def redact(self, text: str) -> str:
        """Return the text with every secret masked, to be kept in a dead letter."""


@dataclass(frozen=True, slots=True)
class ProjectionNumbers:
    """A projection's tallies over the partitions that one process runs.

    Attributes:
        heartbeat_at: Unix time of the live copy's oldest heartbeat; None when a partition has none
            yet, or none runs here.
        progress_at: Unix time of the live copy's latest progress.
    """

    applied: int
    failures: Mapping[tuple[str, str], int]
    heartbeat_at: float | None
    progress_at: float | None
    replays: int = 0


def add_up(
    tallies: Sequence[RunnerTally], counted: Sequence[RunnerTally] = ()
) -> ProjectionNumbers:
    """Fold the tallies of one projection's partitions.

    Args:
        tallies: Of those of the live copy that run.
        counted: Of all others. Those that ended are still counted, for a counter must not fall, and
            no longer beat; a rebuild's beat would hide the silence of the live copy.
    """
    beats = [tally.heartbeat_at for tally in tallies]
    known = [beat for beat in beats if beat is not None]
    moves = [tally.progress_at for tally in tallies if tally.progress_at is not None]
    return ProjectionNumbers(
        applied=sum(tally.applied for tally in (*tallies, *counted)),
        failures=sum((tally.failures for tally in (*tallies, *counted)), Counter()),
        heartbeat_at=min(known) if known and len(known) == len(beats) else None,
        progress_at=max(moves, default=None),
        replays=sum(tally.replays for tally in (*tallies, *counted)),
    )
