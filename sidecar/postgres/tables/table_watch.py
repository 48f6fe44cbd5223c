"""Looking at read models' tables for what somebody else did to one between two verifications."""

import datetime as dt
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import asyncpg

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import NAME
from sidecar.postgres.tables.table_search import MOST_ROWS, holds_less_than_half, holds_rows_since
from sidecar.projections.table_change import (
    LOSSES,
    SETTLED_SECONDS,
    Change,
    Counts,
    TableChange,
    TableLook,
    describe_changes,
    find_worst,
)

LATE_SECONDS: Final = 60.0
"""So long after a table got another file the server's counts may still tell what was done."""
SEARCH_SECONDS: Final = 10.0
"""A table is searched so often at most."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Memory:
    """What is known of a table from looks before.

    Attributes:
        before: The last look at the file that it is in, or was in a moment ago.
        still: The first look since its projections moved.
        settled: The first one at which all of their writes were counted.
        searched: The look at which it was last searched for rows that somebody else has written.
    """

    before: TableLook
    still: TableLook
    settled: TableLook | None = None
    searched: TableLook | None = None

    def take(self, look: TableLook) -> None:
        """Remember a look."""
        age_seconds = (look.seen_at - self.before.seen_at).total_seconds()
        if look.file == self.before.file or age_seconds > LATE_SECONDS:
            self.before = look
        if (look.file, look.moves) != (self.still.file, self.still.moves):
            self.still, self.settled = look, None
        rest_seconds = (look.seen_at - self.still.seen_at).total_seconds()
        if self.settled is None and rest_seconds > SETTLED_SECONDS:
            self.settled = look

    def is_worth_a_search(self, look: TableLook) -> bool:
        """Tell whether writes were counted since no projection moved."""
        last = self.searched or self.still
        age_seconds = (look.seen_at - last.seen_at).total_seconds()
        is_due = self.searched is None or age_seconds >= SEARCH_SECONDS
        return look is not self.still and look.counts.written > last.counts.written and is_due


class TableWatch:
    """Looks at the tables of all read models, again and again."""

    def __init__(self) -> None:
        self._memories: dict[tuple[str, str], _Memory] = {}

    async def look(
        self, connection: RawConnection, projection: str | None = None
    ) -> Mapping[str, tuple[TableChange, ...]]:
        """Return what was done to tables by others and is not settled, by projection.

        What is seen for the first time is kept and logged.
        """
        rows = await connection.fetch(sql("look_at_tables"), projection, NAME)
        told: dict[str, tuple[TableChange, ...]] = {}
        for name, group in groupby(rows, key=lambda row: row["projection"]):
            found = [await self._look_at(connection, row) for row in group]
            if changes := tuple(each for each in found if each is not None):
                told[str(name)] = changes
        return told

    async def _look_at(self, connection: RawConnection, row: asyncpg.Record) -> TableChange | None:
        look = _read(row)
        known = None if row["change"] is None else Change(row["change"])
        change = await self._judge(connection, row, look)
        if change is Change.REWRITTEN and known is None:
            rows = self._count_before(row)
            if await holds_less_than_half(connection, row["relid"], rows):
                change = Change.EMPTIED
        if change is not None and change.outranks(known):
            seen_at = await _tell(connection, row, look, change)
            if seen_at is not None:
                return TableChange(row["table"], change, seen_at)
        elif known is None:
            await _mark_rows(connection, row, look)
        return None if known is None else TableChange(row["table"], known, row["changed_at"])

    def _count_before(self, row: asyncpg.Record) -> int:
        """Return how many rows a table had when it was looked at, or else marked."""
        memory = self._memories.get((row["projection"], row["table"]))
        return max(int(row["marked_rows"]), memory.before.counts.rows if memory else 0)

    async def _judge(
        self, connection: RawConnection, row: asyncpg.Record, look: TableLook
    ) -> Change | None:
        key = (row["projection"], row["table"])
        memory = self._memories.get(key)
        empties_itself = row["marked_rows"] < 0
        marked = _read_marked(row)
        changes = [look.judge_file((row["marked_relid"], row["marked_filenode"]), marked)]
        if memory is None or memory.before.marked_at != look.marked_at:
            self._memories[key] = _Memory(look, look)
            changes.append(await _judge_crash(connection, look, marked))
            return find_worst(changes)
        before, settled = memory.before, memory.settled
        changes.append(look.judge_file(before.file, before.counts))
        if not empties_itself:
            changes.append(look.judge_rows(before))
            changes.append(await _judge_crash(connection, look, before.counts))
        memory.take(look)
        if any(changes):
            return find_worst(changes)
        written = None if settled is None else look.judge_stillness(settled)
        if written is None and memory.is_worth_a_search(look):
            memory.searched = look
            since = memory.still.next_transaction
            if await holds_rows_since(connection, row["relid"], look.counts.rows, since):
                written = Change.WRITTEN
        if written is None:
            return None
        retried = (row["projection"], memory.still.seen_at)
        is_own = await connection.fetchval(sql("has_retried_since"), *retried)
        return None if is_own else written


async def _judge_crash(connection: RawConnection, look: TableLook, then: Counts) -> Change | None:
    """Say whether a table that a crash may have emptied lacks rows, whoever has filled it since."""
    if not look.may_be_crashed(then):
        return None
    rows = min(then.rows, MOST_ROWS)
    return Change.CRASHED if await holds_less_than_half(connection, look.file[0], rows) else None


async def _tell(
    connection: RawConnection, row: asyncpg.Record, look: TableLook, change: Change
) -> dt.datetime | None:
    """Keep what was seen; return since when that is known, None when the table is marked anew."""
    now = (*look.file, look.counts.rows, look.counts.inserted)
    told = (*_key(row), *now, change)
    try:
        seen_at: dt.datetime | None = await connection.fetchval(sql("tell_change"), *told)
    except asyncpg.ReadOnlySQLTransactionError:
        return look.seen_at
    if seen_at is not None:
        log_change(row["projection"], TableChange(row["table"], change, seen_at))
    return seen_at


async def _mark_rows(connection: RawConnection, row: asyncpg.Record, look: TableLook) -> None:
    """Keep how many rows an UNLOGGED table has, whenever they are many more or many less."""
    if look.needs_mark(_read_marked(row)):
        with suppress(asyncpg.ReadOnlySQLTransactionError):
            now = (look.counts.rows, look.counts.inserted)
            await connection.execute(sql("mark_rows"), *_key(row), *now)


def _key(row: asyncpg.Record) -> tuple[str, str, int, int]:
    """Return which mark it is, and that it is still the same."""
    return row["projection"], row["table"], row["marked_relid"], row["marked_filenode"]


def _read_marked(row: asyncpg.Record) -> Counts:
    """Return the counts when the table was marked; where they are unknown it had no rows."""
    return Counts(max(row["marked_rows"], 0), row["marked_inserted"])


def log_change(projection: str, change: TableChange) -> None:
    """Tell what was found of a table of a projection, once."""
    logger.log(
        logging.CRITICAL if change.change in LOSSES else logging.WARNING,
        "Projection %s: %s",
        projection,
        describe_changes(projection, [change]),
        extra={
            "event": "sidecar.table.changed",
            "projection": projection,
            "table": change.table,
            "change": change.change.value,
        },
    )


def _read(row: asyncpg.Record) -> TableLook:
    counts = (row[name] for name in ("live_rows", "inserted", "updated", "deleted", "estimates"))
    return TableLook(
        file=(row["relid"], row["filenode"]),
        counts=Counts(*counts),
        is_counted=row["is_counted"],
        is_empty=row["is_empty"],
        is_unlogged=row["is_unlogged"],
        position=row["position"],
        moves=row["moves"],
        marked_at=row["marked_at"],
        seen_at=row["seen_at"],
        next_transaction=row["next_transaction"],
    )
