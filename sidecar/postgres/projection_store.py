"""The store of projections in PostgreSQL: checkpoints, pages of the log and transactions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import asyncpg

from sidecar.errors import (
    CheckpointGoneError,
    CheckpointMovedError,
    ProjectionPausedError,
    StoreUnavailableError,
)
from sidecar.postgres.checkpoints.accepted_gaps import list_accepted
from sidecar.postgres.checkpoints.membership import Membership
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction, checkpoint_key
from sidecar.postgres.connection import RawConnection, read_committed, translate_loss
from sidecar.postgres.kept_codecs import keep_codecs
from sidecar.postgres.log.page import read_span
from sidecar.postgres.log_memory.log_keeper import LogKeeper
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.rebuild.preview_store import Preview, open_preview, read_verdict
from sidecar.postgres.rebuild.rebuild import swap
from sidecar.postgres.tables.copies import new_schema
from sidecar.postgres.transient import is_transient
from sidecar.projections.members import MemberTypes
from sidecar.projections.passed_over import ALL_TYPES
from sidecar.projections.ports import Checkpoint, PreviewVerdict, Span, State
from sidecar.projections.preview import MAX_LAG_POSITIONS
from sidecar.projections.projection import Partition

T = TypeVar("T", bound=PostgresTransaction)


class PostgresProjectionStore:
    """Reads pages and opens transactions on connections of a pool.

    Args:
        pool: Connections come from it; its owner closes it.
        handled: The types that each projection handles, kept with its checkpoint.
        log: Compares the log of each server with what is remembered, which handlers wait for; None
            for those that do not.
        members: Of each group among the projections, kept with its checkpoint as well.
    """

    def __init__(
        self,
        pool: MeteredPool,
        handled: Mapping[str, Sequence[str]] | None = None,
        log: LogKeeper | None = None,
        members: Mapping[str, MemberTypes] | None = None,
    ) -> None:
        self._pool = pool
        self._keeper: Final = log
        self._membership: Final = Membership(members or {})
        self._handled: Final = {name: list(types) for name, types in (handled or {}).items()}
        # Positions and types that each loop got with its checkpoint.
        self._discarded: Final[dict[Partition, frozenset[int]]] = {}
        self._declared: Final[dict[Partition, list[str]]] = {}

    async def count_discarded(self, projection: str) -> int:
        """Return how many events of the log were discarded for a projection."""
        return int(await self._pool.fetchval(sql("count_discarded"), projection))

    async def read_checkpoint(self, partition: Partition) -> Checkpoint:
        """Return where the partition stands."""
        row = await self._pool.fetchrow(sql("read_checkpoint"), *checkpoint_key(partition))
        if row is None:
            raise _gone(partition)
        if self._membership.is_open(partition, row):
            await self._settle_members(partition)
        accepted = await list_accepted(self._pool, partition.projection, row["position"])
        discarded = self._discarded[partition] = accepted.union(map(int, row["discarded"]))
        self._declared[partition] = row["declared"]
        if partition.copy == "live":
            await self._take_up_known(partition)
        declared = frozenset(row["declared"])
        return Checkpoint(row["position"], State(row["state"]), discarded, declared)

    async def _settle_members(self, partition: Partition) -> None:
        """Let members of a group in that joined, or wait for a person where they lack events."""
        async with self._pool.acquire() as raw:
            if not await self._membership.settle(raw, partition):
                raise ProjectionPausedError(f"{partition} waits for a decision.")

    async def _take_up_known(self, partition: Partition) -> None:
        """Let dead letters fall due that waited for a release which handles their type."""
        share = (partition.projection, partition.index, partition.count)
        await self._pool.execute(sql("take_up_known"), *share, self._handled_by(partition))

    def _handled_by(self, partition: Partition) -> list[str]:
        return self._handled.get(partition.projection, list(ALL_TYPES))

    async def end_failure(self, partition: Partition) -> None:
        """Let a live copy run whose setup had failed in another worker."""
        await self._pool.execute(sql("end_failure"), partition.projection)

    async def read_page(
        self,
        partition: Partition,
        after_position: int,
        upto_position: int,
        types: Sequence[str] | None = None,
    ) -> Span:
        """Return the partition's next events, bounded in count and bytes.

        Raises:
            LogShortenedError: There are none, and not because all of them are known.
        """
        async with self._pool.acquire_untouched() as raw:
            return await read_span(raw, partition, after_position, upto_position, types)

    async def stand_still(self, partition: Partition, reason: str, error_type: str) -> None:
        """Mark a running live copy as failed; dead letters of this error are due after it."""
        await self._pool.execute(sql("stand_still"), *checkpoint_key(partition), reason, error_type)

    async def go_on(self, partition: Partition) -> None:
        """Let a live copy run again that was marked as failed."""
        await self._pool.execute(sql("go_on"), *checkpoint_key(partition))

    async def list_missing_grants(self, tables: Sequence[str]) -> Sequence[str]:
        """Return the statements that give the role the rights to tables that it lacks."""
        rows = await self._pool.fetch(sql("list_missing_grants"), list(tables))
        return [row["statement"] for row in rows]

    @asynccontextmanager
    async def begin(
        self,
        partition: Partition,
        position: int,
        *,
        eager: bool,
        repeatable: bool,
        halted: bool = False,
    ) -> AsyncIterator[PostgresTransaction]:
        """Open a transaction at the checkpoint.

        Raises:
            RebuildStrayedError: A rebuild wrote to what is not its copy; rolled back.
        """
        lock = partial(
            self._lock_checkpoint,
            partition=partition,
            position=position,
            eager=eager,
            repeatable=repeatable,
            halted=halted,
        )
        async with self._handling(partition, lock) as transaction:
            yield transaction

    @asynccontextmanager
    async def _handling(
        self, partition: Partition, lock: Callable[[RawConnection], Awaitable[T]]
    ) -> AsyncIterator[T]:
        """Open a transaction for handlers, which begins with a lock."""
        transaction: T | None = None
        try:
            async with self._begin(partition) as raw:
                transaction = await lock(raw)
                await transaction.prepare()
                async with transaction.handling():
                    yield transaction
        except StoreUnavailableError:
            # Ended by this process itself: the error that led to it counts.
            if transaction is None or transaction.session_ended_by is None:
                raise
            # A statement that still runs there would keep the checkpoint locked.
            await self._pool.execute(sql("end_session"), transaction.session)
            raise transaction.session_ended_by from None

    @asynccontextmanager
    async def _begin(self, partition: Partition) -> AsyncIterator[RawConnection]:
        lost = f"The session of {partition} ended in the middle of its transaction."
        async with self._pool.acquire() as raw:
            with translate_loss(raw, lost):
                async with keep_codecs(raw), read_committed(raw):
                    yield raw

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
        key = checkpoint_key(partition)
        found = await raw.fetchrow(sql("lock_checkpoint"), *key, repeatable, halted)
        row = self._require_current(found, partition, position)
        self._require_compared(row, partition)
        await self._membership.keep(raw, row, partition)
        await self._keep_handled(raw, row, partition)
        schema = new_schema(partition.projection) if partition.copy == "rebuild" else None
        handled = self._handled_by(partition)
        return PostgresTransaction(raw, partition, row, schema, eager=eager, handled=handled)

    def _require_current(
        self, found: asyncpg.Record | None, partition: Partition, position: int
    ) -> asyncpg.Record:
        """Return a row if it stands where the loop believes, which knows what was decided since."""
        row = _require_there(found, partition, position)
        if self._declared.setdefault(partition, row["declared"]) != row["declared"]:
            raise CheckpointMovedError(f"A type of {partition} was declared or retired.")
        if not self._discarded.get(partition, frozenset()).issuperset(map(int, row["discarded"])):
            raise CheckpointMovedError(f"An event ahead of {partition} was discarded.")
        return row

    def _require_compared(self, row: asyncpg.Record, partition: Partition) -> None:
        """Let no handler run on a log that was not compared: its positions may be given anew."""
        if self._keeper is None or row["server_key"] in {None, self._keeper.server_key}:
            return
        self._keeper.recompare()
        raise StoreUnavailableError(
            f"{partition} waits until the log of this server is compared with what is remembered."
        )

    async def _keep_handled(
        self, raw: RawConnection, row: asyncpg.Record, partition: Partition
    ) -> None:
        """Record the position from which this release passes over other types than the last one.

        What only other releases handle is kept for them, and not passed over.
        """
        types = self._handled.get(partition.projection)
        if types is None:
            return
        if row["declared"] and types != list(ALL_TYPES):
            types = sorted({*types, *row["declared"]})
        if row["handles"] == types:
            return
        key = checkpoint_key(partition)
        await raw.execute(sql("end_handled_range"), *key[:3], row["position"])
        await raw.execute(sql("begin_handled_range"), *key, row["position"], types)

    async def halt(self, partition: Partition, reason: str) -> None:
        """Stop a rebuild until a person resumes it."""
        await self._pool.execute(sql("halt_rebuild"), partition.projection, reason)

    async def read_preview(self, projection: str) -> PreviewVerdict:
        """Return what is known of the swap of its new copy."""
        async with self._pool.acquire() as raw:
            return await read_verdict(raw, projection)

    async def open_preview(self, partition: Partition) -> Preview:
        """Begin to compare its new copy with the live one."""
        return await open_preview(self._pool, partition, self._handling)

    async def holds_copy(self, partition: Partition) -> bool:
        """Return True while a new copy is compared, and need not catch up."""
        place = (partition.projection, partition.index, MAX_LAG_POSITIONS // 2)
        return bool(await self._pool.fetchval(sql("is_copy_held"), *place))

    async def swap(self, projection: str) -> bool:
        """Swap a rebuilt copy in."""
        async with self._pool.acquire() as raw:
            return await swap(raw, projection)

    async def has_due_dead_letters(self, partition: Partition, position: int) -> bool:
        """Return True when a dead letter of the projection is due for a retry."""
        key = checkpoint_key(partition)
        row = await self._pool.fetchrow(sql("has_due_letters"), *key, self._handled_by(partition))
        return bool(_require_there(row, partition, position)["has_due"])

    is_transient = staticmethod(is_transient)


def _gone(partition: Partition) -> CheckpointGoneError:
    return CheckpointGoneError(f"{partition} of {partition.count} has no checkpoint.")


def _require_there(
    row: asyncpg.Record | None, partition: Partition, position: int
) -> asyncpg.Record:
    """Return a checkpoint's row if it stands where its owner believes, and may be moved."""
    if row is None:
        raise _gone(partition)
    if row["position"] != position:
        raise CheckpointMovedError(f"The checkpoint of {partition} was moved.")
    if row["state"] != State.RUNNING:
        raise ProjectionPausedError(f"{partition} is {row['state']}.")
    return row
