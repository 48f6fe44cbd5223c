"""The transaction of a batch in PostgreSQL: read model, dead letters and checkpoint together."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Final

import asyncpg

from sidecar.errors import (
    CheckpointMovedError,
    ConcurrentStatementsError,
    StoreUnavailableError,
    TransactionEndError,
)
from sidecar.events.record import RecordedEvent
from sidecar.postgres.checkpoints.passed_over_counter import count_before, list_positions_and_types
from sidecar.postgres.connection import RawConnection, is_busy, is_lost, translate_loss
from sidecar.postgres.guard import keep_transaction
from sidecar.postgres.handler.handler_connection import HandlerConnection
from sidecar.postgres.log.page import PAGE_BYTES
from sidecar.postgres.query import sql
from sidecar.postgres.tables.copies import refuse_stray_writes
from sidecar.projections.dead_letter import Category, DeadLetter
from sidecar.projections.passed_over import ALL_TYPES, RETIRED
from sidecar.projections.ports import OpenDeadLetter
from sidecar.projections.projection import Partition

# Up to so many parked streams are read whole, which is cheaper than to ask for those of a batch.
FEW_PARKED: Final = 200

_failure: Final = attrgetter(
    "category", "error_type", "error_message", "traceback", "attempts", "trace_id"
)


class PostgresTransaction:
    """One open transaction of one partition, which has locked the row of its checkpoint.

    Attributes:
        connection: Handlers write through it.
        session: The backend's process id.
        session_ended_by: The error after which the session had to be ended, if that was so.

    Args:
        raw: Where the transaction is open.
        partition: Whose.
        row: Its checkpoint, locked.
        schema: Of the copy that handlers write to, and to nothing else; None for the live one.
        eager: Send each write at once.
        handled: The types that this release handles.
    """

    def __init__(
        self,
        raw: RawConnection,
        partition: Partition,
        row: asyncpg.Record,
        schema: str | None = None,
        *,
        eager: bool,
        handled: Sequence[str] = ALL_TYPES,
    ) -> None:
        self.connection: Final = HandlerConnection(raw, eager=eager, owner=str(partition))
        self.session: Final = raw.get_server_pid()
        self.session_ended_by: BaseException | None = None
        self._raw: Final = raw
        self._partition: Final = partition
        self._schema: Final = schema
        self._row: Final = row
        self._handled: Final = handled
        self._unknown: int | None = None
        self._spoilt_by: BaseException | None = None

    async def prepare(self) -> None:
        """Let handlers write to the copy."""
        if self._schema is not None:
            await self._raw.execute(sql("prepend_search_path"), self._schema)

    @asynccontextmanager
    async def handling(self) -> AsyncIterator[None]:
        """Let handlers use the connection for a block, in which they cannot end the transaction.

        After an error the connection is free for the rollback, or else its session is ended and
        `session_ended_by` set.
        """
        try:
            with keep_transaction(self._raw, str(self._partition)):
                yield
            await self.refuse_stray_writes()
            await self._mark_emptied()
        except BaseException as error:
            if not await self._free():
                self.session_ended_by = error
            raise
        finally:
            self.connection.end()

    async def refuse_stray_writes(self) -> None:
        """Make sure that nothing but the copy was written to.

        Raises:
            RebuildStrayedError: It was, and must be rolled back.
        """
        if self._schema is not None:
            await refuse_stray_writes(self._raw, self._partition.projection, self._schema)

    async def _mark_emptied(self) -> None:
        """Take note of a live table that its own projection has emptied: nobody else did it."""
        if self._schema is None and self.connection.has_emptied:
            await self._raw.execute(sql("mark_emptied"), self._partition.projection)

    async def _free(self) -> bool:
        """Leave the connection free for the rollback; False when its session is ended instead."""
        try:
            await self.connection.abandon()
            if self.connection.is_shared and not self._raw.is_closed():
                # A task that is not awaited may go on with it.
                await self._raw.execute("")
        except (
            ConcurrentStatementsError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as busy:
            if isinstance(busy, ConcurrentStatementsError) or is_busy(busy):
                self._raw.terminate()
                return False
        return not self.is_spoilt

    async def parked_among(self, streams: Iterable[str]) -> frozenset[str]:
        """Return those of the streams that are parked; costs nothing while none is."""
        if not self._row["has_parked"]:
            return frozenset()
        projection, wanted = self._partition.projection, set(streams)
        rows = await self._raw.fetch(sql("list_parked"), projection, FEW_PARKED + 1)
        if len(rows) > FEW_PARKED:
            rows = await self._raw.fetch(sql("list_parked_among"), projection, list(wanted))
        return frozenset(row["stream"] for row in rows).intersection(wanted)

    @property
    def is_spoilt(self) -> bool:
        """Whether nothing more can be done in this transaction, by the fault of a handler."""
        return self._spoilt_by is not None

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Open a savepoint; when the session ends, that is the error, whatever else was raised."""
        lost = f"The session of {self._partition} ended in the middle of an event."
        try:
            with translate_loss(self._raw, lost):
                depth = await self.connection.open_savepoint()
                try:
                    yield
                    await self.connection.release_savepoint()
                except BaseException as error:
                    await self._undo(error, depth)
                    raise
        except StoreUnavailableError:
            if self._spoilt_by is None:
                raise
            raise self._spoilt_by from None

    async def _undo(self, cause: BaseException, depth: int) -> None:
        """Roll back to the savepoint; where that fails, end the session."""
        try:
            await self.connection.undo_event(depth)
            if type(cause) is asyncpg.DataError:
                # Of a value that did not fit a type which a migration may have changed meanwhile.
                await self._raw.reload_schema_state()
        except Exception as error:
            if is_lost(self._raw, error):
                raise
            # A statement that is not awaited still runs, or this is another transaction by now.
            self._spoilt_by = cause
            self._raw.terminate()

    async def park(self, letter: DeadLetter, retry_after_seconds: float | None) -> None:
        """Keep a dead letter."""
        place = (self._partition.projection, letter.record.stream)
        await self._raw.execute(
            sql("park"), *place, *_event(letter.record), *_failure(letter), retry_after_seconds
        )
        if self._unknown is not None and letter.category is Category.UNKNOWN_TYPE:
            self._unknown += 1

    async def count_unknown(self) -> int:
        """Return how many streams wait for a release that handles a type; asks once."""
        if self._unknown is None:
            projection = self._partition.projection
            self._unknown = int(await self._raw.fetchval(sql("count_unknown"), projection))
        return self._unknown

    async def take_due_dead_letter(self) -> OpenDeadLetter | None:
        """Lock the dead letter that has been due longest."""
        share = (self._partition.index, self._partition.count)
        place = (self._partition.projection, *share, self._handled)
        row = await self._raw.fetchrow(sql("lock_due_letter"), *place)
        return None if row is None else OpenDeadLetter(*row)

    async def queued_events(
        self, stream: str, from_version: int, upto_position: int, limit: int
    ) -> list[RecordedEvent]:
        """Return the events of a parked stream from a version on, bounded in bytes as well."""
        bounds = (from_version, upto_position, limit, PAGE_BYTES)
        projection = self._partition.projection
        rows = await self._raw.fetch(sql("read_stream_until"), stream, *bounds, projection)
        return [RecordedEvent(*row) for row in rows]

    async def events_left(
        self, letter: OpenDeadLetter, upto_position: int, limit: int
    ) -> list[RecordedEvent]:
        """Return what its stream has above the event of a dead letter that was erased."""
        place = (letter.stream, letter.position, upto_position, limit, self._partition.projection)
        rows = await self._raw.fetch(sql("read_stream_left"), *place)
        return [RecordedEvent(*row) for row in rows]

    async def resolve(self, letter: OpenDeadLetter, *, is_erased: bool = False) -> None:
        """Close a dead letter."""
        if letter.is_waiting:
            await self._raw.execute(sql("forget_letter"), letter.id)
        elif is_erased:
            await self._raw.execute(sql("resolve_erased"), letter.id)
        else:
            await self._raw.execute(sql("resolve_letter"), letter.id, "retried", None)

    async def advance(self, letter: OpenDeadLetter, record: RecordedEvent) -> None:
        """Let a dead letter stand for a later event of its stream."""
        await self._raw.execute(sql("advance_letter"), letter.id, *_event(record))

    async def fail_again(
        self, letter: OpenDeadLetter, failure: DeadLetter, retry_after_seconds: float | None
    ) -> None:
        """Keep a dead letter open for the event that failed now."""
        await self._raw.execute(
            sql("fail_letter"),
            letter.id,
            *_event(failure.record),
            *_failure(failure),
            retry_after_seconds,
        )

    async def settle_waiting(
        self, stream: str, taken_up: Sequence[RecordedEvent], left_out: Sequence[RecordedEvent]
    ) -> None:
        """Keep which events a retry took up, and left out for a release that handles them."""
        if taken_up:
            await count_before(self._raw, self._partition.projection, stream, taken_up)
        if left_out:
            parts = (self._partition.projection, self._partition.index, self._partition.count)
            events = list_positions_and_types(left_out)
            await self._raw.execute(sql("pass_over"), *parts, stream, *events, RETIRED)

    async def move(self, position: int) -> None:
        """Move the checkpoint by compare-and-set.

        Raises:
            CheckpointMovedError: It is no longer where this transaction began.
            TransactionEndError: This is not the transaction that began there.
            ValueError: `position` is below that; the events between would take effect twice.
        """
        begun, transaction = self._row["position"], self._row["transaction"]
        if position < begun:
            raise ValueError(f"{self._partition} would go back from {begun} to {position}.")
        self._require_open()
        key = checkpoint_key(self._partition)
        status = await self._raw.execute(sql("move_checkpoint"), *key, begun, position, transaction)
        if status != "UPDATE 1":
            if await self._raw.fetchval(sql("read_transaction")) != transaction:
                raise self._ended()
            raise CheckpointMovedError(f"The checkpoint of {self._partition} was moved.")

    def _require_open(self) -> None:
        if not self._raw.is_in_transaction():
            raise self._ended()

    def _ended(self) -> TransactionEndError:
        return TransactionEndError(
            f"A handler of {self._partition} ended the transaction that holds its checkpoint; "
            "what it had written before that may be undone, or be done twice."
        )


def checkpoint_key(partition: Partition) -> tuple[object, ...]:
    """Return the key of a checkpoint's row, in the order that statements take."""
    return partition.projection, partition.copy, partition.index, partition.count


def _event(record: RecordedEvent) -> tuple[object, ...]:
    return record.position, record.version, str(record.id), record.type
