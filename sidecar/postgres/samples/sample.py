"""Samples of the database for the probe process: lag, heads, dead letters, leases."""

import datetime as dt
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

from sidecar.postgres.checkpoints.passed_over_counter import list_passed_over
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.dead_letters.letter_deletions import list_deleted
from sidecar.postgres.lease import key_of
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.log_memory.log_loss import list_losses
from sidecar.postgres.migration import find_unsafe_sequence
from sidecar.postgres.pools.activity import Activity, sample_activity
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_watch import TableWatch
from sidecar.projections.deleted_letters import DeletedLetters
from sidecar.projections.drift import UNVERIFIED, VerificationStatus
from sidecar.projections.log_memory import LogLoss
from sidecar.projections.passed_over import PassedOver
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition
from sidecar.projections.projection_sample import DeadLetterCount, FailureSample, PartitionSample
from sidecar.projections.projection_status import ProjectionStatus, fold_status
from sidecar.projections.safe_head import Writer, held_seconds
from sidecar.projections.table_change import TableChange

RECENT_FAILURES: Final = 20

Query: TypeAlias = Callable[[RawConnection], Awaitable[Any]]
LogSample: TypeAlias = tuple[
    "Sample", Sequence[PartitionSample], Mapping[str, tuple[PassedOver, ...]]
]
"""What is known of the log alone, the partitions, and what they passed over by projection."""
LetterSample: TypeAlias = tuple[
    Mapping[str, DeadLetterCount], tuple[FailureSample, ...], Mapping[str, DeletedLetters]
]
"""Open dead letters by projection, the latest of them, and those that were deleted by hand."""
ReadModelSample: TypeAlias = tuple[
    Mapping[str, VerificationStatus], Mapping[str, tuple[TableChange, ...]]
]
"""What verifications found, and what others did to tables since, by projection."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the database at one moment.

    Attributes:
        taken_at: Aware wall time of the server.
        safe_head: Highest safe position; `head` is the highest visible one.
        held_seconds: For how long a gap has held the safe head; 0.0 when none does.
        writers: The transactions that hold the safe head.
        skipped_positions: Dead positions recorded so far.
        unsafe: Why events could be missed, and what to do; empty while all is well.
        failures: The latest unresolved dead letters, newest first.
        activity: Sessions at the server.
        server: Numbers of the server's own, by column of `sample_server`.
        published: Dead letters of projections that an application publishes to and no worker runs.
        deleted: Dead letters that were deleted by hand, by projection.
        losses: What the log lost at its end, as long as nobody has taken it as it is.
        unanswered: Names of queries that have failed for so long that their results here are old.
    """

    taken_at: dt.datetime
    safe_head: int
    head: int
    held_seconds: float
    writers: tuple[Writer, ...]
    skipped_positions: int = 0
    projections: tuple[ProjectionStatus, ...] = ()
    failures: tuple[FailureSample, ...] = ()
    activity: Activity = field(default_factory=dict)
    unsafe: str = ""
    server: Mapping[str, float] = field(default_factory=dict)
    published: Mapping[str, DeadLetterCount] = field(default_factory=dict)
    deleted: Mapping[str, DeletedLetters] = field(default_factory=dict)
    losses: tuple[LogLoss, ...] = ()
    unanswered: tuple[str, ...] = ()


class SkippedPositionCounter:
    """Counts dead positions as they come, so that their history is not read repeatedly."""

    def __init__(self) -> None:
        self._total = 0
        self._last = 0

    async def count(self, connection: RawConnection) -> int:
        """Return how many there are."""
        [row] = await connection.fetch(sql("sample_skips"), self._last)
        self._total += row["positions"]
        self._last = row["last"]
        return self._total


def list_queries(follower: SafeHeadFollower) -> dict[str, Query]:
    """Return the queries of a sample, by what they ask for and in the order of `compose`.

    Args:
        follower: Kept from one sample to the next. It advances a safe head of its own, so that the
            lag is measured against that, and not against what the loops believe.
    """
    return {
        "the log": partial(_sample_log, follower),
        "dead letters": _sample_dead_letters,
        "skipped positions": SkippedPositionCounter().count,
        "sessions": sample_activity,
        "the sequence": find_unsafe_sequence,
        "the server": sample_server,
        "verifications": partial(_sample_verifications, TableWatch()),
    }


async def take_sample(connection: RawConnection, follower: SafeHeadFollower) -> Sample:
    """Run every query of `list_queries` once and return a sample; the first error ends it."""
    return compose(*[await query(connection) for query in list_queries(follower).values()])


async def _sample_log(follower: SafeHeadFollower, connection: RawConnection) -> LogSample:
    head = await follower.advance(connection)
    taken_at = await connection.fetchval(sql("read_clock"))
    held = held_seconds(head, time.monotonic())
    place = (head.position, head.highest, held, follower.writers)
    partitions = await _sample_partitions(connection, head.position)
    sample = Sample(taken_at, *place, losses=await list_losses(connection))
    return sample, partitions, await list_passed_over(connection)


async def _sample_dead_letters(connection: RawConnection) -> LetterSample:
    counts = {
        row["projection"]: DeadLetterCount(row["letters"], row["parked"], row["oldest_at"])
        for row in await connection.fetch(sql("sample_dead_letters"))
    }
    failures = await connection.fetch(sql("sample_recent_failures"), RECENT_FAILURES)
    return counts, tuple(FailureSample(*row) for row in failures), await list_deleted(connection)


async def _sample_verifications(watch: TableWatch, connection: RawConnection) -> ReadModelSample:
    changes = await watch.look(connection)
    statuses = {
        row["projection"]: VerificationStatus(
            is_running=row["is_running"],
            failure=row["failure"],
            verified_at=row["verified_at"],
            position=row["position"] or 0,
            drift_rows=row["drift_rows"] or 0,
        )
        for row in await connection.fetch(sql("sample_verifications"))
    }
    return statuses, changes


async def sample_server(connection: RawConnection) -> Mapping[str, float]:
    """Ask for the numbers of the server's own."""
    row = await connection.fetchrow(sql("sample_server"))
    return dict(row or {})


def compose(
    log: LogSample,
    letters: LetterSample,
    skipped_positions: int | None,
    activity: Activity | None,
    unsafe: str | None,
    server: Mapping[str, float] | None,
    read_models: ReadModelSample | None,
    *,
    unanswered: tuple[str, ...] = (),
) -> Sample:
    """Put the results of the queries together; None for those that never had one. Pure."""
    known, partitions, passed_over = log
    counts, failures, deleted = letters
    verifications, changes = read_models or ({}, {})
    at = (known.safe_head, known.taken_at)
    folded = fold_status(partitions, counts, *at, passed_over, deleted)
    projections = tuple(
        each.with_doubts(verifications.get(each.name, UNVERIFIED), changes.get(each.name, ()))
        for each in folded
    )
    followed = {projection.name for projection in projections}
    return replace(
        known,
        skipped_positions=skipped_positions or 0,
        projections=projections,
        failures=failures,
        activity=activity or {},
        unsafe=unsafe or "",
        server=server or {},
        published={name: n for name, n in counts.items() if name not in followed},
        deleted=deleted,
        unanswered=unanswered,
    )


async def _sample_partitions(connection: RawConnection, safe_head: int) -> list[PartitionSample]:
    leases = await connection.fetch(sql("sample_leases"))
    owners = {row["key"]: row["application_name"] for row in leases}
    rows = await connection.fetch(sql("sample_projections"), safe_head)
    samples = []
    for row in rows:
        partition = Partition(row["projection"], row["partition"], row["partitions"], row["copy"])
        owner = owners.get(key_of(partition))
        samples.append(PartitionSample(**{**row, "state": State(row["state"])}, owner=owner))
    return samples
