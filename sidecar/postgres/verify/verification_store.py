"""Where a verification's loop reads events, fills its copy and keeps what it has found."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Final

import asyncpg
import msgspec
from typing_extensions import override

from sidecar.errors import CheckpointGoneError, CheckpointMovedError, ProjectionError
from sidecar.postgres.checkpoints.accepted_gaps import list_accepted
from sidecar.postgres.checkpoints.membership import require_members
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction
from sidecar.postgres.connection import RawConnection, read_committed, translate_loss
from sidecar.postgres.log.erased import find_erased
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.postgres.query import sql
from sidecar.postgres.tables.shadow import Shadow, describe_shape, find_places
from sidecar.postgres.tables.table_comparison import Progress, TableComparer
from sidecar.postgres.tables.table_shape import TableShape, read_shapes
from sidecar.postgres.tables.table_watch import TableWatch
from sidecar.postgres.verify.key_events import add_key_events
from sidecar.postgres.verify.shadow_transaction import Comparison, ShadowTransaction
from sidecar.projections.comparison import Part, Report
from sidecar.projections.ports import Checkpoint, State
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.projection_group import member_names


class VerificationStore(PostgresProjectionStore):
    """The store of one projection's verification.

    Attributes:
        share: The part of a core that it may use; None for all of one.

    Args:
        pool: Connections come from it; its owner closes it.
        subscription: Of the projection.
    """

    def __init__(self, pool: MeteredPool, subscription: Subscription) -> None:
        super().__init__(pool)
        self.share: float | None = None
        self._subscription: Final = subscription
        self._projection: Final = subscription.name
        self._shadow: Final = Shadow(subscription.name)
        self._shapes: list[TableShape] = []
        self._comparers: list[TableComparer] = []
        self._progress = Progress()
        self._report = Report()
        self._verification = 0
        self._requested_at: dt.datetime | None = None
        self._shape = ""

    @override
    async def read_checkpoint(self, partition: Partition) -> Checkpoint:
        """Return where the copy stands; one that does not fit is made anew."""
        async with self._begin_short() as raw:
            await self._shadow.hold(raw)
            row = await self._require_running(raw)
            await require_members(raw, self._projection, member_names(self._subscription))
            places = await find_places(raw, self._subscription.tables)
            self._shape = await describe_shape(raw, places)
            self._verification, self.share = row["id"], row["share"]
            self._requested_at = row["requested_at"]
            found = await self._read_progress(raw) or await self._make_anew(raw)
            tables, ignored = self._subscription.tables, row["ignored"]
            self._shapes = await read_shapes(raw, tables, places, ignored)
            self._comparers = [TableComparer(s, self._shadow.schema) for s in self._shapes]
            accepted = await list_accepted(raw, self._projection, found["position"])
            return self._resume(found, partition, accepted)

    async def _make_anew(self, raw: RawConnection) -> asyncpg.Record:
        await self._shadow.create(raw, self._verification, self._subscription.tables)
        row = await raw.fetchrow(self._shadow.sql("read_progress"), self._projection)
        if row is None:
            raise CheckpointMovedError(f"The copy of {self._projection} was made anew elsewhere.")
        return row

    def _resume(
        self, row: asyncpg.Record, partition: Partition, accepted: frozenset[int]
    ) -> Checkpoint:
        self._progress, self._report = Progress(), Report()
        if row["place"] is not None:
            self._progress = msgspec.json.decode(row["place"], type=Progress)
            self._report = msgspec.json.decode(row["report"], type=Report)
        discarded = self._discarded[partition] = accepted.union(map(int, row["discarded"]))
        self._declared[partition] = row["declared"]
        declared = frozenset(row["declared"])
        return Checkpoint(row["position"], State.RUNNING, discarded, declared)

    async def _require_running(self, raw: RawConnection) -> asyncpg.Record:
        row = await raw.fetchrow(sql("lock_verification"), self._projection)
        if row is None:
            raise CheckpointGoneError(f"No verification of {self._projection} is under way.")
        return row

    async def _read_progress(self, raw: RawConnection) -> asyncpg.Record | None:
        """Return how far the copy is filled; None when there is none that fits."""
        if not await raw.fetchval(sql("has_progress"), self._shadow.quoted):
            return None
        row = await raw.fetchrow(self._shadow.sql("read_progress"), self._projection)
        return row if row is not None and self._fits(row) else None

    def _fits(self, row: asyncpg.Record) -> bool:
        return (row["verification"], row["shape"]) == (self._verification, self._shape)

    @asynccontextmanager
    async def _begin_short(self) -> AsyncIterator[RawConnection]:
        lost = f"The session of the verification of {self._projection} ended."
        async with self._pool.acquire() as raw:
            with translate_loss(raw, lost):
                async with read_committed(raw):
                    yield raw

    async def live_position(self) -> int:
        """Return up to where every partition of the live copy has come.

        Raises:
            CheckpointGoneError: The verification is over, or the projection was removed.
        """
        async with self._pool.acquire_untouched() as raw:
            if await raw.fetchrow(sql("find_verification"), self._projection) is None:
                raise CheckpointGoneError(f"No verification of {self._projection} is under way.")
            row = await raw.fetchrow(sql("read_live_positions"), self._projection)
        return int(row["lowest"] or 0) if row else 0

    def fill(
        self, partition: Partition, position: int
    ) -> AbstractAsyncContextManager[ShadowTransaction]:
        """Open a transaction at the copy's position; raises what `begin` does."""
        return self._handling(partition, partial(self._open, partition, position))

    async def _open(
        self, partition: Partition, position: int, raw: RawConnection
    ) -> ShadowTransaction:
        row = await self._lock(raw, partition, position)
        return ShadowTransaction(raw, partition, row, self._shadow)

    @override
    @asynccontextmanager
    async def _begin(self, partition: Partition) -> AsyncIterator[RawConnection]:
        lost = f"The session of {partition} ended in the middle of its transaction."
        async with self._pool.acquire() as raw:
            with translate_loss(raw, lost):
                async with raw.transaction(isolation="repeatable_read"):
                    yield raw

    @override
    async def _lock_checkpoint(
        self,
        raw: RawConnection,
        partition: Partition,
        position: int,
        *,
        eager: bool,
        repeatable: bool,
        halted: bool,
    ) -> PostgresTransaction:
        return await self._open(partition, position, raw)

    async def _lock(
        self, raw: RawConnection, partition: Partition, position: int
    ) -> asyncpg.Record:
        try:
            row = await raw.fetchrow(self._shadow.sql("lock_progress"), self._projection)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            raise CheckpointGoneError(f"The copy of {self._projection} is gone.") from error
        if row is None or not self._fits(row):
            raise CheckpointMovedError(f"The copy of {self._projection} was made anew.")
        return self._require_current(row, partition, position)

    @asynccontextmanager
    async def compare(self, partition: Partition, position: int) -> AsyncIterator[Comparison]:
        """Open a comparison, which is rolled back at its end.

        Raises:
            CheckpointGoneError: The verification is over.
            CheckpointMovedError: The copy has to be made anew: a table is another one by now.
        """

        async def lock(raw: RawConnection) -> Comparison:
            # First of all, for it takes no snapshot: a table that is emptied, rewritten or swapped
            # between the snapshot and the comparison would seem to be empty.
            places = ", ".join(str(shape.place) for shape in self._shapes)
            await raw.execute(f"LOCK TABLE {places} IN ACCESS SHARE MODE")
            row = await self._lock(raw, partition, position)
            found = await find_places(raw, self._subscription.tables)
            if await describe_shape(raw, found) != self._shape:
                raise CheckpointMovedError(f"A table of {self._projection} is another one by now.")
            comparer = self._comparers[self._progress.table]
            return Comparison(raw, partition, row, self._shadow, comparer, self._progress.key)

        with suppress(_RollBackError):
            async with self._handling(partition, lock) as comparison:
                yield comparison
                raise _RollBackError

    async def keep(self, part: Part, position: int) -> Report | None:
        """Keep what was found; return the report when it was the last part of all."""
        index = self._progress.table
        shape = self._shapes[index]
        known = next((t for t in self._report.tables if t.table == shape.table), shape.report)
        table = known.added(part)
        self._report = self._report.with_table(table).compared_at(position)
        is_done = part.last_key is None
        self._progress = Progress(index + is_done, None if is_done else part.last_key)
        is_last = self._progress.table == len(self._shapes)
        self._report = self._report.with_reads(self._shadow.reads)
        async with self._begin_short() as raw:
            await self._shadow.hold(raw)
            await self._require_running(raw)
            if is_last:
                self._report = await add_key_events(raw, self._report)
                await self._find_erased(raw)
            place, report = _write(self._progress), _write(self._report)
            statement = self._shadow.sql("keep_compared")
            await raw.execute(statement, self._verification, place, report)
            await raw.execute(sql("show_compared"), self._verification, self._report.rows, report)
            if is_last:
                await self._judge(raw)
        return self._report if is_last else None

    @override
    async def halt(self, partition: Partition, reason: str) -> None:
        """End the verification, which cannot be brought to its end."""
        async with self._begin_short() as raw:
            await self._shadow.hold(raw)
            await raw.execute(sql("end_verification"), self._projection, "failed", reason)
            await self._shadow.drop(raw)

    async def _find_erased(self, raw: RawConnection) -> None:
        """Note what the log lost: rows that were made of it seem to be wrong."""
        erased = await find_erased(raw, self._projection)
        self._report = msgspec.structs.replace(self._report, erased=erased)

    async def _judge(self, raw: RawConnection) -> None:
        drift_rows = self._report.drift_rows
        verdict = ("drifted" if drift_rows else "equal", self._report.upto_position, drift_rows)
        await raw.execute(sql("judge_verification"), self._projection, *verdict)
        if not drift_rows:
            await self._settle(raw)
        await self._shadow.drop(raw)

    async def _settle(self, raw: RawConnection) -> None:
        """Tell no more of what was done to the tables before they were compared."""
        await TableWatch().look(raw, self._projection)
        await raw.execute(sql("settle_changes"), self._projection, self._requested_at)


class _RollBackError(Exception):
    """Ends a comparison's transaction."""


def _write(value: Progress | Report) -> str:
    return msgspec.json.encode(value).decode()


def require_verifiable(subscription: Subscription) -> None:
    """Make sure that a projection's read model can be compared with a replay.

    Raises:
        ProjectionError: It cannot.
    """
    if not subscription.is_repeatable:
        raise ProjectionError(
            f"{subscription.name} does not write through the connection of its handler; what it "
            "does would be done again, so it cannot be verified."
        )
    if not subscription.tables:
        raise ProjectionError(f"{subscription.name} declares no `tables` that could be compared.")
