"""Samples of the database for the probe process: lag, heads, dead letters, leases."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import asyncpg

from sidecar.postgres.activity import Activity, sample_activity
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.lease import key_of
from sidecar.postgres.migration import find_unsafe_sequence
from sidecar.postgres.passed_over_counter import list_passed_over
from sidecar.postgres.query import sql
from sidecar.postgres.safe_head_follower import SafeHeadFollower
from sidecar.projections.passed_over import PassedOver
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition
from sidecar.projections.projection_status import (
    DeadLetterCount,
    FailureSample,
    PartitionSample,
    ProjectionStatus,
    fold_status,
)
from sidecar.projections.safe_head import Writer

RECENT_FAILURES: Final = 20


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
        unanswered: Names of queries that have failed for so long that their results here are old.
    """

    taken_at: dt.datetime
    safe_head: int
    head: int
    held_seconds: float
    writers: tuple[Writer, ...]
    skipped_positions: int
    projections: tuple[ProjectionStatus, ...]
    failures: tuple[FailureSample, ...]
    activity: Activity
    unsafe: str = ""
    server: Mapping[str, float] = field(default_factory=dict)
    published: Mapping[str, DeadLetterCount] = field(default_factory=dict)
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSample:
    """The part of a sample that comes from the log and the checkpoints; fields as in `Sample`."""

    taken_at: dt.datetime
    safe_head: int
    head: int
    held_seconds: float
    writers: tuple[Writer, ...]
    partitions: Sequence[PartitionSample]
    passed_over: Mapping[str, tuple[PassedOver, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetterSample:
    """The part of a sample that comes from the open dead letters."""

    counts: Mapping[str, DeadLetterCount]
    failures: tuple[FailureSample, ...]


class SkippedPositionCounter:
    """Counts dead positions as they come, so that their history is not read repeatedly."""

    def __init__(self) -> None:
        self._total = 0
        self._last = 0

    async def count(self, connection: RawConnection) -> int:
        """Return how many there are."""
        row = await connection.fetchrow(sql("sample_skips"), self._last)
        if row is None:
            raise RuntimeError("an aggregate without GROUP BY returned no row")
        self._total += row["positions"]
        self._last = row["last"]
        return self._total


async def take_sample(connection: RawConnection, follower: SafeHeadFollower) -> Sample:
    """Run every query once and return a sample; the first error ends it.

    Args:
        connection: Used for the length of the call.
        follower: Kept from one sample to the next. It advances a safe head of its own, so that the
            lag is measured against that, and not against what the loops believe.
    """
    return compose(
        await sample_log(connection, follower),
        await sample_dead_letters(connection),
        skipped_positions=await SkippedPositionCounter().count(connection),
        activity=await sample_activity(connection),
        unsafe=await find_unsafe_sequence(connection),
        server=await sample_server(connection),
    )


async def sample_log(connection: RawConnection, follower: SafeHeadFollower) -> LogSample:
    """Read how far the log goes, and how far every projection is."""
    head = await follower.advance(connection)
    taken_at = await connection.fetchval(sql("read_clock"))
    return LogSample(
        taken_at,
        head.position,
        head.highest,
        follower.held_seconds,
        follower.writers,
        await _sample_partitions(connection, head.position),
        await list_passed_over(connection),
    )


async def sample_dead_letters(connection: RawConnection) -> DeadLetterSample:
    """Read the open dead letters."""
    counts = {
        row["projection"]: DeadLetterCount(row["letters"], row["parked"], row["oldest_at"])
        for row in await connection.fetch(sql("sample_dead_letters"))
    }
    failures = await connection.fetch(sql("sample_recent_failures"), RECENT_FAILURES)
    return DeadLetterSample(counts, tuple(FailureSample(*row) for row in failures))


async def sample_server(connection: RawConnection) -> Mapping[str, float]:
    """Ask for the numbers of the server's own."""
    row = await connection.fetchrow(sql("sample_server"))
    return dict(row or {})


def compose(
    log: LogSample,
    letters: DeadLetterSample,
    *,
    skipped_positions: int,
    activity: Activity,
    unsafe: str,
    server: Mapping[str, float],
    unanswered: tuple[str, ...] = (),
) -> Sample:
    """Put the parts of a sample together. Pure."""
    projections = fold_status(
        log.partitions, letters.counts, log.safe_head, log.taken_at, log.passed_over
    )
    followed = {projection.name for projection in projections}
    return Sample(
        taken_at=log.taken_at,
        safe_head=log.safe_head,
        head=log.head,
        held_seconds=log.held_seconds,
        writers=log.writers,
        skipped_positions=skipped_positions,
        projections=projections,
        failures=letters.failures,
        activity=activity,
        unsafe=unsafe,
        server=server,
        published={name: n for name, n in letters.counts.items() if name not in followed},
        unanswered=unanswered,
    )


async def _sample_partitions(connection: RawConnection, safe_head: int) -> list[PartitionSample]:
    owners = {
        row["key"]: row["application_name"] for row in await connection.fetch(sql("sample_leases"))
    }
    rows = await connection.fetch(sql("sample_projections"), safe_head)
    return [
        replace(sample, owner=owners.get(key_of(_partition(sample))))
        for sample in map(_read_partition, rows)
    ]


def _read_partition(row: asyncpg.Record) -> PartitionSample:
    return PartitionSample(**{**dict(row), "state": State(row["state"])})


def _partition(sample: PartitionSample) -> Partition:
    return Partition(sample.projection, sample.partition, sample.partitions, sample.copy)
