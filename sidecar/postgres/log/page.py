"""Pages of the log: bounded in events, in bytes, and in how far they look for a rare type."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import asyncpg

from sidecar.errors import LogShortenedError
from sidecar.events.event_log import PAGE_EVENTS
from sidecar.events.record import RecordedEvent
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.projections.ports import Span
from sidecar.projections.projection import Partition

# Bounds one page in memory, as stored; a single larger event still passes. A page that PostgreSQL
# compresses well can become larger, within the statement's second bound.
PAGE_BYTES: Final = 8 * 1024 * 1024
# A page looks no further than this, so that one of a rare type does not read the log for minutes.
SPAN_POSITIONS: Final = 50_000
# PostgreSQL compresses no value of fewer bytes, and none to less than a 255th.
_COMPRESSED_BYTES: Final = 1900
_MAX_RATIO: Final = 255

_read_data: Final = attrgetter("data")


async def read_span(
    raw: RawConnection,
    partition: Partition,
    after: int,
    upto: int,
    types: Sequence[str] | None,
) -> Span:
    """Return the events that a partition handles of the next part of the log.

    Args:
        raw: Any connection.
        partition: Selects the streams.
        after: Events above this position.
        upto: The safe head.
        types: Stored names of the types that it handles; None for all.

    Raises:
        LogShortenedError: There are none, since the log has lost its end.
    """
    is_sparse = types is not None or partition.count > 1
    end = min(upto, after + SPAN_POSITIONS) if is_sparse else upto
    records, is_whole = await _read(raw, partition, after, end, types, to_the_end=is_sparse)
    at = records[-1].position if records else after
    if records and not (is_whole and at < end):
        return Span(records, at)
    await _require_reached(raw, partition, at, end, types)
    return Span(records, end)


async def _read(
    raw: RawConnection,
    partition: Partition,
    after: int,
    end: int,
    types: Sequence[str] | None,
    *,
    to_the_end: bool,
) -> tuple[list[RecordedEvent], bool]:
    """Return a page, and whether it certainly holds all events up to the end.

    With `to_the_end` it reads on until that is certain, or the page is full.
    """
    records: list[RecordedEvent] = []
    while len(records) < PAGE_EVENTS and _size(records) < PAGE_BYTES:
        at = records[-1].position if records else after
        read = await _fetch(raw, partition, at, end, PAGE_EVENTS - len(records), types)
        if not read:
            return records, True
        records += read
        if read[-1].position >= end or not (to_the_end or _may_be_cut(read)):
            break
    return records, False


async def _fetch(
    raw: RawConnection,
    partition: Partition,
    after: int,
    end: int,
    limit: int,
    types: Sequence[str] | None,
) -> list[RecordedEvent]:
    bounds = (after, end, limit, PAGE_BYTES, types)
    if partition.count > 1:
        share = (partition.index, partition.count)
        return _make_records(await raw.fetch(sql("read_partition_page"), *bounds, *share))
    records = _make_records(await raw.fetch(sql("read_small_page"), *bounds))
    if all(map(_read_data, records)):
        return records
    # An event of it is large.
    return _make_records(await raw.fetch(sql("read_page"), *bounds))


def _make_records(rows: Sequence[asyncpg.Record]) -> list[RecordedEvent]:
    return [RecordedEvent(*row) for row in rows]


def _size(records: Sequence[RecordedEvent]) -> int:
    return sum([len(record.data) for record in records])


def _may_be_cut(records: Sequence[RecordedEvent]) -> bool:
    """Return True when a bound in bytes may have left events out, which are then read next."""
    sizes = [len(record.data) for record in records]
    unfolded = sum(size for size in sizes if size > _COMPRESSED_BYTES) * _MAX_RATIO
    return sum(sizes) * 4 >= PAGE_BYTES or unfolded >= PAGE_BYTES


async def _require_reached(
    raw: RawConnection, partition: Partition, after: int, end: int, types: Sequence[str] | None
) -> None:
    """Make sure that no event can still appear in a range.

    The checkpoint passes over it, so the server must not have lost the end of the log, whose
    positions it would give to other events. Where the newest events were erased, the sequence is
    the proof: no writer draws a position up to its last value any more.

    Raises:
        LogShortenedError: One can.
    """
    if await raw.fetchval(sql("does_log_reach"), end):
        return
    drawn = await raw.fetchrow(sql("read_sequence"))
    if drawn is not None and (drawn["last_value"] or 0) >= end:
        # A writer that drew one before may still write it.
        is_settled = not await raw.fetch(sql("list_writers"))
        if is_settled and not await _fetch(raw, partition, after, end, 1, types):
            return
    raise LogShortenedError(f"The log ends before position {end}.")
