"""Transactions on a copy that nobody reads: one that fills it, and one that compares it."""

from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
from typing_extensions import override

from sidecar.errors import CheckpointMovedError
from sidecar.events.record import RecordedEvent
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.tables.shadow import Shadow
from sidecar.postgres.tables.table_comparison import TableComparer
from sidecar.projections.comparison import Part
from sidecar.projections.projection import Partition


class ShadowTransaction(PostgresTransaction):
    """One that writes to the copy alone, in one snapshot."""

    def __init__(
        self, raw: RawConnection, partition: Partition, row: asyncpg.Record, shadow: Shadow
    ) -> None:
        super().__init__(raw, partition, row, shadow.schema, eager=False)
        self._shadow: Final = shadow
        self._withheld: frozenset[str] | None = None

    @override
    async def parked_among(self, streams: Iterable[str]) -> frozenset[str]:
        return (await self._list_withheld()).intersection(streams)

    async def _list_withheld(self) -> frozenset[str]:
        """Return the streams of which this transaction applies nothing."""
        if self._withheld is None:
            rows: Sequence[asyncpg.Record] = ()
            if self._row["has_parked"]:
                projection = self._partition.projection
                rows = await self._raw.fetch(self._shadow.sql("list_withheld"), projection)
            self._withheld = frozenset(row["stream"] for row in rows)
        return self._withheld

    @override
    async def move(self, position: int) -> None:
        """Move the copy's position, and note from where on events of parked streams are missing."""
        self._require_open()
        begun = self._row["position"]
        if withheld := await self._list_withheld():
            names = list(withheld)
            await self._raw.execute(self._shadow.sql("withhold"), begun, position, names)
        rows = await self._raw.fetch(sql("list_read_tables"), self._shadow.quoted)
        self._shadow.reads.update(row["name"] for row in rows)
        statement = self._shadow.sql("move_progress")
        status = await self._raw.execute(statement, begun, position, self._row["transaction"])
        if status != "UPDATE 1":
            raise CheckpointMovedError(f"The position of {self._partition} was moved.")

    async def take_up(self, limit: int) -> list[RecordedEvent]:
        """Return events that were withheld and may be applied now; they count as applied then."""
        projection, position = self._partition.projection, self._row["position"]
        if not await self._list_withheld():
            return []
        read, drop = self._shadow.sql("read_withheld"), self._shadow.sql("drop_withheld")
        rows = await self._raw.fetch(read, projection, position, limit)
        records = [RecordedEvent(*row) for row in rows]
        versions = {record.stream: record.version for record in records}
        hand_over = self._shadow.sql("hand_over_withheld")
        await self._raw.execute(hand_over, list(versions), list(map(str, versions.values())))
        await self._raw.execute(drop, projection, position)
        return records


class Comparison(ShadowTransaction):
    """One look at both copies in one snapshot; what handlers write in it is rolled back."""

    def __init__(
        self,
        raw: RawConnection,
        partition: Partition,
        row: asyncpg.Record,
        shadow: Shadow,
        comparer: TableComparer,
        after: tuple[str, ...] | None,
    ) -> None:
        super().__init__(raw, partition, row, shadow)
        self._comparer: Final = comparer
        self._after: Final = after

    async def missing_events(self, after: int, limit: int) -> list[RecordedEvent]:
        """Return what the live copy has applied beyond the other copy's position."""
        projection, position = self._partition.projection, self._row["position"]
        rows = await self._raw.fetch(sql("read_tail"), projection, position, after, limit)
        return [RecordedEvent(*row) for row in rows]

    async def withheld_events(self, limit: int) -> list[RecordedEvent]:
        """Return what the live copy has applied of streams that were parked."""
        projection, position = self._partition.projection, self._row["position"]
        if not await self._list_withheld():
            return []
        statement = self._shadow.sql("read_withheld")
        rows = await self._raw.fetch(statement, projection, position, limit)
        return [RecordedEvent(*row) for row in rows]

    async def live_positions(self) -> tuple[int, int]:
        """Return the lowest and the highest position of the live copy's partitions."""
        row = await self._raw.fetchrow(sql("read_live_positions"), self._partition.projection)
        return (row["lowest"] or 0, row["highest"] or 0) if row else (0, 0)

    async def compare_next(self) -> Part:
        """Compare the next part of a table."""
        return await self._comparer.compare(self._raw, self._after)
