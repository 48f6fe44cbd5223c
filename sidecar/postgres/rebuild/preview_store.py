"""What the swap of a rebuilt copy changes: found in the database, kept there and read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, TypeAlias

import asyncpg
import msgspec

from sidecar.errors import CheckpointGoneError, CheckpointMovedError, ProjectionError
from sidecar.events.record import RecordedEvent
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction, checkpoint_key
from sidecar.postgres.codec_aware import without_codecs
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.erased import find_erased
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.rebuild.copy_comparison import CountingComparer
from sidecar.postgres.tables.copies import new_schema
from sidecar.postgres.tables.shadow import find_places
from sidecar.postgres.tables.table_claims import require_same_tables
from sidecar.postgres.tables.table_comparison import Progress
from sidecar.postgres.tables.table_copy import Place
from sidecar.postgres.tables.table_shape import TableShape, read_shapes
from sidecar.projections.comparison import Report
from sidecar.projections.ports import PreviewVerdict
from sidecar.projections.preview import Pair, needs_approval
from sidecar.projections.projection import Partition

Lock: TypeAlias = Callable[[RawConnection], Awaitable["CopyComparison"]]
Handling: TypeAlias = Callable[[Partition, Lock], AbstractAsyncContextManager["CopyComparison"]]


async def read_verdict(connection: RawConnection, projection: str) -> PreviewVerdict:
    """Return what is known of the swap of a projection's new copy, or of its last swap."""
    row = await connection.fetchrow(sql("read_preview"), projection)
    if row is None:
        return PreviewVerdict()
    report = row["report"]
    found = None if report is None else msgspec.json.decode(report, type=Report)
    return PreviewVerdict(found, row["is_approved"])


class CopyComparison(PostgresTransaction):
    """One look at a new copy and the live one in one snapshot; what is written is rolled back.

    Attributes:
        pairs: How both stand, by partition.
    """

    def __init__(
        self,
        raw: RawConnection,
        partition: Partition,
        row: asyncpg.Record,
        pairs: Sequence[Pair],
        compare_next: Callable[[RawConnection], Awaitable[None]],
    ) -> None:
        super().__init__(raw, partition, row, new_schema(partition.projection), eager=False)
        self.pairs: Sequence[Pair] = pairs
        self._compare_next: Final = compare_next

    async def missing_events(self, after: int, limit: int) -> list[RecordedEvent]:
        """Return what the live copy has passed and the new one has not, above a position."""
        projection = self._partition.projection
        rows = await self._raw.fetch(sql("read_copy_tail"), projection, after, limit)
        return [RecordedEvent(*row) for row in rows]

    async def compare_next(self) -> None:
        """Compare the part of a table that is next."""
        with without_codecs(self._raw):
            await self._compare_next(self._raw)


class Preview:
    """Compares a new copy with the live one; made by `open_preview`.

    Args:
        pool: Connections come from it; its owner closes it.
        partition: Of the new copy, whose loop compares.
        shapes: Of the live tables.
        handling: Opens a transaction for handlers, which begins with a lock.
    """

    def __init__(
        self,
        pool: MeteredPool,
        partition: Partition,
        shapes: Sequence[TableShape],
        handling: Handling,
    ) -> None:
        self._pool: Final = pool
        self._partition: Final = partition
        self._shapes: Final = shapes
        self._handling: Final = handling
        schema = new_schema(partition.projection)
        self._comparers: Final = [CountingComparer(shape, schema) for shape in shapes]
        self._progress = Progress()
        self._report = Report(tables=tuple(shape.report for shape in shapes))
        self._created_at = ""
        self._position = 0

    @property
    def is_over(self) -> bool:
        """Whether all was compared."""
        return self._progress.table == len(self._shapes)

    @asynccontextmanager
    async def compare(self, position: int) -> AsyncIterator[CopyComparison | None]:
        """Open a look at both copies, which is rolled back; None when the new one moved just now.

        Raises:
            CheckpointGoneError: The rebuild is over.
            CheckpointMovedError: The partition is not at this position.
            ProjectionError: A table is not what it was when the rebuild began.
        """

        async def lock(raw: RawConnection) -> CopyComparison:
            return await self._lock(raw, position)

        with suppress(_RollBackError):
            try:
                async with self._handling(self._partition, lock) as comparison:
                    yield comparison
                    raise _RollBackError
            except _CopyMovedError:
                yield None

    async def _lock(self, raw: RawConnection, position: int) -> CopyComparison:
        await raw.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # First of all, for it takes no snapshot: a table that is emptied between the snapshot and
        # the comparison would seem to be empty.
        places = ", ".join(str(shape.place) for shape in self._shapes)
        await raw.execute(f"LOCK TABLE {places} IN ACCESS SHARE MODE")
        try:
            rows = await raw.fetch(sql("lock_copies"), self._partition.projection)
        except asyncpg.SerializationError as error:
            raise _CopyMovedError from error
        key = checkpoint_key(self._partition)
        row = await raw.fetchrow(sql("lock_checkpoint"), *key, True, False)
        if row is None or len(rows) != self._partition.count:
            raise CheckpointGoneError(f"No rebuild of {self._partition.projection} is under way.")
        if row["position"] != position:
            raise CheckpointMovedError(f"The checkpoint of {self._partition} was moved.")
        self._note(rows[0]["created_at"], max(each["live_position"] for each in rows))
        pairs = [Pair(each["is_live"], each["lag"], each["is_ahead"]) for each in rows]
        return CopyComparison(raw, self._partition, row, pairs, self._compare_next)

    def _note(self, created_at: str, position: int) -> None:
        if self._created_at not in {"", created_at}:
            raise CheckpointMovedError(f"The rebuild of {self._partition} was begun anew.")
        self._created_at, self._position = created_at, position

    async def _compare_next(self, raw: RawConnection) -> None:
        index = self._progress.table
        part = await self._comparers[index].compare(raw, self._progress.key)
        name = self._shapes[index].table
        known = next(table for table in self._report.tables if table.table == name)
        report = self._report.with_table(known.added(part))
        self._report = report.compared_at(self._position)
        is_done = part.last_key is None
        self._progress = Progress(index + is_done, None if is_done else part.last_key)

    async def judge(self) -> Report:
        """Keep what was found, and return it.

        Raises:
            CheckpointGoneError: The rebuild is over.
        """
        projection = self._partition.projection
        async with self._pool.acquire() as raw:
            erased = await find_erased(raw, projection)
            report = msgspec.structs.replace(self._report, erased=erased)
            written = msgspec.json.encode(report).decode()
            asks = needs_approval(report)
            kept = await raw.fetchval(
                sql("keep_preview"), projection, written, asks, self._created_at
            )
        if kept is None:
            raise CheckpointGoneError(f"The rebuild of {projection} is over.")
        return report


class _RollBackError(Exception):
    """Ends a look."""


class _CopyMovedError(Exception):
    """Another part of the new copy moved between the snapshot and the lock."""


async def open_preview(pool: MeteredPool, partition: Partition, handling: Handling) -> Preview:
    """Begin to compare the new copy of a projection with the live one.

    Raises:
        ProjectionError: The tables are not those that the rebuild was begun with.
    """
    # One snapshot: a deployment may change the `tables` between two statements.
    async with pool.acquire() as raw, raw.transaction(isolation="repeatable_read"):
        projection = partition.projection
        await require_same_tables(raw, projection)
        row = await raw.fetchrow(sql("list_tables"), projection)
        tables: Sequence[str] = row["tables"] if row else ()
        places = await find_places(raw, tables)
        for table, place in zip(tables, places, strict=True):
            await _require_same_columns(raw, projection, table, place)
        shapes = await read_shapes(raw, tables, places)
    return Preview(pool, partition, shapes, handling)


async def _require_same_columns(
    connection: RawConnection, projection: str, table: str, place: Place
) -> None:
    copy = Place(place.oid, new_schema(projection), place.name)
    oid = await connection.fetchval(sql("find_table"), str(copy))
    live, new = [
        await connection.fetchval(sql("list_column_types"), each) for each in (place.oid, oid)
    ]
    if live != new:
        raise ProjectionError(
            f"the columns of {table} changed since it began; `sidecar projections rebuild "
            f"{projection} --cancel` drops the new copy, after which it can begin anew"
        )
