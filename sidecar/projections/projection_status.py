"""The status of each projection, taken from the database, not from its loop. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Final

from sidecar.projections.deleted_letters import DeletedLetters, describe_deleted
from sidecar.projections.drift import UNVERIFIED, VerificationStatus, describe_drift
from sidecar.projections.interruption import Interruption
from sidecar.projections.log_start import describe_start
from sidecar.projections.members import describe_members
from sidecar.projections.passed_over import PassedOver, describe_passed_over
from sidecar.projections.ports import State
from sidecar.projections.projection_sample import DeadLetterCount, PartitionSample
from sidecar.projections.table_change import (
    LOSSES,
    Change,
    TableChange,
    describe_changes,
    find_worst,
)

# Marten's default for a high-water mark that does not move while there is work.
STALL_SECONDS: Final = 30.0


class Status(StrEnum):
    """One word for a projection: how its live copy stands, whatever a rebuild does beside it."""

    RUNNING = "running"
    CAUGHT_UP = "caught_up"
    PAUSED = "paused"
    FAILED = "failed"
    STALLED = "stalled"
    UNOWNED = "unowned"


_SEVERITY: Final = (
    Status.CAUGHT_UP,
    Status.RUNNING,
    Status.PAUSED,
    Status.UNOWNED,
    Status.STALLED,
    Status.FAILED,
)


class Rebuild(StrEnum):
    """How a projection's rebuild goes."""

    NONE = "none"
    RUNNING = "running"
    HALTED = "halted"
    IN_PLACE = "in_place"
    """Readers see an incomplete read model until it is filled again."""


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """A whole projection: the worst of its live partitions, and the rebuild beside them.

    Attributes:
        position: Of the partition that is furthest behind.
        owners: Who holds its leases.
        detail: What its rows say, why a rebuild halted included.
        rebuild: One that halted waits to be taken up or cancelled.
        progress: Share of a rebuild done, 0..1; None when there is none.
        approval: What the swap of a halted rebuild would take away, and how that is approved.
        dead_letters: Those of parked streams, and those of in-process publishing, which park none.
        oldest_letter_at: Since when there is a dead letter.
        passed_over: What its read model lacks, for a release that moved it did not handle it.
        start_position: The one that the live copy started after, where that was declared; else 0.
        verification: What comparing its read model with a replay of the log has found.
        changes: What somebody else did to its tables, and nobody has settled.
        block: Why it waits for a person's decision; None when it does not.
        release: Version of the release that runs it; None where none is known.
        code_changed_at: Aware wall time at which its code was last another one than before.
        deleted: Dead letters that were deleted by hand; None when there are none.
    """

    name: str
    kind: str
    status: Status
    position: int
    lag_events: int
    lag_seconds: float
    dead_letters: int
    parked_streams: int
    owners: tuple[str, ...]
    moved_at: dt.datetime | None
    detail: str | None = None
    rebuild: Rebuild = Rebuild.NONE
    progress: float | None = None
    approval: str | None = None
    oldest_letter_at: dt.datetime | None = None
    passed_over: tuple[PassedOver, ...] = ()
    start_position: int = 0
    verification: VerificationStatus = UNVERIFIED
    changes: tuple[TableChange, ...] = ()
    block: str | None = None
    release: str | None = None
    code_changed_at: dt.datetime | None = None
    deleted: DeletedLetters | None = None

    def with_doubts(
        self, verification: VerificationStatus, changes: tuple[TableChange, ...]
    ) -> "ProjectionStatus":
        """Return it with what is known of its read model besides."""
        told = (
            self.detail,
            describe_drift(self.name, verification),
            describe_changes(self.name, changes),
        )
        detail = "; ".join(filter(None, told)) or None
        return replace(self, detail=detail, verification=verification, changes=changes)

    def with_interruption(self, interruption: Interruption | None) -> "ProjectionStatus":
        """Return it with what keeps its loop from coming on, first."""
        if interruption is None:
            return self
        detail = "; ".join(filter(None, (interruption.describe(), self.detail)))
        return replace(self, detail=detail)

    @property
    def lost_tables(self) -> int:
        """How many tables lost rows that no event took."""
        return sum(each.change in LOSSES for each in self.changes)

    @property
    def worst_change(self) -> Change | None:
        """The worst that was done to a table; None for nothing."""
        return find_worst(each.change for each in self.changes)


def fold_status(
    samples: Iterable[PartitionSample],
    letters: Mapping[str, DeadLetterCount],
    safe_head: int,
    now: dt.datetime,
    passed_over: Mapping[str, tuple[PassedOver, ...]] | None = None,
    deleted: Mapping[str, DeletedLetters] | None = None,
) -> tuple[ProjectionStatus, ...]:
    """Fold samples, ascending by projection, into one status for each that has a live copy.

    `now` is the aware wall time of the samples; those that passed nothing over, or
    lost no dead letters, may be left out.
    """
    folded = []
    for name, group in groupby(samples, key=lambda sample: sample.projection):
        rows = list(group)
        if any(row.copy == "live" for row in rows):
            passed = (passed_over or {}).get(name, ())
            lost = (deleted or {}).get(name)
            folded.append(_fold(rows, letters.get(name), passed, lost, safe_head, now))
    return tuple(folded)


def _fold(
    rows: Sequence[PartitionSample],
    letters: DeadLetterCount | None,
    passed_over: tuple[PassedOver, ...],
    deleted: DeletedLetters | None,
    safe_head: int,
    now: dt.datetime,
) -> ProjectionStatus:
    live = [row for row in rows if row.copy == "live"]
    rebuild = [row for row in rows if row.copy == "rebuild"]
    refilled = [row for row in live if row.position < (row.refilled_upto or 0)]
    name, kind = live[0].projection, live[0].kind
    moves = [row.moved_at for row in live if row.moved_at is not None]
    # What halts a rebuild is written to each of its partitions.
    details = dict.fromkeys(row.detail for row in (*live, *rebuild))
    start = describe_start(live[0].start_position)
    block = next((row.block for row in live if row.block), None)
    # Why it is blocked says what was passed over, and more.
    passed = "" if block else describe_passed_over(name, kind, passed_over)
    members = describe_members(name, live[0].members)
    told = (*details, passed, describe_deleted(name, deleted), start, members)
    return ProjectionStatus(
        name=name,
        kind=kind,
        status=max((partition_status(row, now) for row in live), key=_SEVERITY.index),
        position=min(row.position for row in live),
        lag_events=sum(row.lag_events for row in live),
        lag_seconds=max(row.lag_seconds for row in live),
        dead_letters=letters.letters if letters else 0,
        parked_streams=letters.parked if letters else 0,
        owners=tuple(sorted({row.owner for row in live if row.owner})),
        moved_at=max(moves, default=None),
        detail="; ".join(filter(None, told)) or None,
        rebuild=_judge_rebuild(rebuild, refilled),
        progress=_progress(rebuild or (refilled and live), safe_head),
        approval=next((row.detail for row in rebuild if row.awaits_approval), None),
        oldest_letter_at=letters.oldest_at if letters else None,
        passed_over=passed_over,
        start_position=live[0].start_position,
        block=block,
        release=live[0].release or None,
        code_changed_at=live[0].code_changed_at,
        deleted=deleted,
    )


def partition_status(row: PartitionSample, now: dt.datetime) -> Status:
    """Say how one partition stands at `now`, aware UTC."""
    if row.state is State.PAUSED:
        return Status.PAUSED
    if row.state is State.FAILED:
        return Status.FAILED
    if row.owner is None:
        return Status.UNOWNED
    if row.lag_events == 0:
        return Status.CAUGHT_UP
    still_since = row.moved_at or row.created_at
    still_seconds = (now - still_since).total_seconds()
    if row.lag_seconds > STALL_SECONDS and still_seconds > STALL_SECONDS:
        return Status.STALLED
    return Status.RUNNING


def _judge_rebuild(
    rebuild: Sequence[PartitionSample], refilled: Sequence[PartitionSample]
) -> Rebuild:
    if refilled:
        return Rebuild.IN_PLACE
    if any(row.state is State.FAILED for row in rebuild):
        return Rebuild.HALTED
    return Rebuild.RUNNING if rebuild else Rebuild.NONE


def _progress(rebuild: Sequence[PartitionSample], safe_head: int) -> float | None:
    if not rebuild:
        return None
    done = sum(row.position for row in rebuild) / len(rebuild)
    return min(done / safe_head, 1.0) if safe_head else 1.0
