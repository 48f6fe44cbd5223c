"""What the probe process sees of the database: lag, heads, dead letters, leases."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import asyncpg

from sidecar.postgres.activity import Activity, sample_activity
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.head import HeadFollower
from sidecar.postgres.lease import key_of
from sidecar.postgres.migration import find_unsafe_sequence
from sidecar.postgres.query import sql
from sidecar.projections.head import Writer
from sidecar.projections.projection import Partition
from sidecar.projections.standing import (
    FailureSample,
    LetterCount,
    PartitionSample,
    Standing,
    stand,
)
from sidecar.projections.work import State

RECENT_FAILURES: Final = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the database.

    Attributes:
        taken_at: Aware wall time of the server.
        safe_head: Highest safe position; `head` is the highest visible one.
        held_seconds: For how long a gap has held the safe head; 0.0 when none does.
        writers: The transactions that hold it.
        skipped_positions: Dead positions recorded so far.
        unsafe: Why events could be missed, and what to do; empty while all is well.
        failures: The latest unresolved dead letters, newest first.
        activity: Sessions at the server.
        published: Dead letters of projections that an application publishes to and no worker runs.
    """

    taken_at: dt.datetime
    safe_head: int
    head: int
    held_seconds: float
    writers: tuple[Writer, ...]
    skipped_positions: int
    standings: tuple[Standing, ...]
    failures: tuple[FailureSample, ...]
    activity: Activity
    unsafe: str = ""
    published: Mapping[str, LetterCount] = field(default_factory=dict)


async def take_sample(connection: RawConnection, follower: HeadFollower) -> Sample:
    """Look at the database once.

    Args:
        connection: Used for the length of the call.
        follower: Kept from one sample to the next; advances the safe head by itself, so that the
            lag is not measured against what the loops being judged believe.
    """
    head = await follower.advance(connection)
    taken_at = await connection.fetchval(sql("read_clock"))
    samples = await _sample_partitions(connection, head.position)
    letters = {
        row["projection"]: LetterCount(row["letters"], row["parked"], row["oldest_at"])
        for row in await connection.fetch(sql("sample_dead_letters"))
    }
    failures = await connection.fetch(sql("sample_recent_failures"), RECENT_FAILURES)
    standings = stand(samples, letters, head.position, taken_at)
    followed = {standing.name for standing in standings}
    return Sample(
        taken_at=taken_at,
        safe_head=head.position,
        head=head.highest,
        held_seconds=follower.held_seconds,
        writers=follower.writers,
        skipped_positions=await connection.fetchval(sql("sample_skips")),
        standings=standings,
        failures=tuple(FailureSample(*row) for row in failures),
        activity=await sample_activity(connection),
        unsafe=await find_unsafe_sequence(connection),
        published={name: count for name, count in letters.items() if name not in followed},
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
