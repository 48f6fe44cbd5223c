"""What the database says of projections at one moment, before it is judged. Pure."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.projections.ports import State


@dataclass(frozen=True, slots=True)
class PartitionSample:
    """One checkpoint row with its lag, from one snapshot.

    Attributes:
        lag_events: Events between checkpoint and safe head.
        lag_seconds: Age of the oldest of them; 0.0 when there is none.
        moved_at: Aware wall time of the last move; None before the first.
        created_at: Aware wall time at which the row was made.
        start_position: The one that it started after, where that was declared; else 0.
        block: Why it must not run before a person decides; None when it may.
        release: Version of the release that runs it, as that says; None where none was said.
        code_changed_at: Aware wall time at which its code was another one than before; None for
            never.
        owner: `application_name` of the lease's holder; None when it is free.
        refilled_upto: Below this position a read model is incomplete that was emptied to be filled
            again; None when it never was.
        awaits_approval: Whether a rebuilt copy waits for a person to approve its swap.
        members: Of a group; None where none are kept.
    """

    projection: str
    copy: str
    partition: int
    partitions: int
    kind: str
    position: int
    state: State
    detail: str | None
    moved_at: dt.datetime | None
    created_at: dt.datetime
    lag_events: int
    lag_seconds: float
    start_position: int = 0
    block: str | None = None
    release: str | None = None
    code_changed_at: dt.datetime | None = None
    owner: str | None = None
    refilled_upto: int | None = None
    awaits_approval: bool = False
    members: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class FailureSample:
    """An unresolved dead letter, without the event's data."""

    id: int
    projection: str
    stream: str
    position: int | None
    event_type: str
    error_type: str
    attempts: int
    trace_id: str | None
    last_failed_at: dt.datetime


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """A projection's unresolved dead letters."""

    letters: int
    parked: int
    oldest_at: dt.datetime
