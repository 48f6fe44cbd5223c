"""The runner's desk in PostgreSQL: pages of the log and transactions of a read model."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from sidecar.errors import (
    CheckpointGoneError,
    CheckpointMovedError,
    ConcurrentStatementsError,
    LogShortenedError,
    ProjectionPausedError,
    StoreUnavailableError,
    TransactionEndError,
)
from sidecar.events.record import RecordedEvent
from sidecar.postgres.connection import (
    RawConnection,
    is_busy,
    is_lost,
    read_committed,
    translate_loss,
)
from sidecar.postgres.copies import new_schema
from sidecar.postgres.deferred import DeferredConnection
from sidecar.postgres.guard import keep_transaction
from sidecar.postgres.page import PAGE_BYTES, read_span
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.rebuild import refuse_stray_writes, swap
from sidecar.postgres.transient import is_transient
from sidecar.projections.dead_letter import DeadLetter
from sidecar.projections.ports import Checkpoint, OpenDeadLetter, Span, State
from sidecar.projections.projection import Partition

# Up to so many parked streams are read whole, which is cheaper than to ask for those of a batch.
FEW_PARKED: Final = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction began.

    Attributes:
        transaction: The transaction's id.
        has_parked: Whether the projection has unresolved dead letters.
    """

    position: int
    transaction: str
    has_parked: bool


class PostgresTransaction:
    """One open transaction of one partition."""

    def __init__(
        self,
        raw: RawConnection,
        partition: Partition,
        place: Place,
        *,
        eager: bool,
    ) -> None:
        self.connection: Final = DeferredConnection(raw, eager=eager)
        self.has_parked: Final = place.has_parked
        self._raw = raw
        self._partition = partition
        self._place = place
        self._spoilt_by: BaseException | None = None

    async def parked_among(self, streams: Collection[str]) -> frozenset[str]:
        """Return those of the streams that are parked."""
        projection = self._partition.projection
        rows = await self._raw.fetch(sql("list_parked"), projection, FEW_PARKED + 1)
        if len(rows) > FEW_PARKED:
            rows = await self._raw.fetch(sql("list_parked_among"), projection, list(streams))
        return frozenset(row["stream"] for row in rows).intersection(streams)

    @property
    def is_spoilt(self) -> bool:
        """Whether nothing more can be done in this transaction."""
        return self._spoilt_by is not None

    @property
    def is_blurred(self) -> bool:
        """Whether a write failed that was held back, so that it may be an earlier handler's."""
        return self.connection.is_blurred

    def take_back(self) -> bool:
        """Drop what the last handler has written; False when only a rollback can do that."""
        return self.connection.take_back()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Open a savepoint; when the session ended, that is the error, whatever came of it."""
        lost = f"The session of {self._partition} ended in the middle of an event."
        try:
            with translate_loss(self._raw, lost):
                await self.connection.open_block()
                try:
                    yield
                    await self.connection.keep_block()
                except BaseException as error:
                    await self._undo(error)
                    raise
        except StoreUnavailableError:
            if self._spoilt_by is None:
                raise
            raise self._spoilt_by from None

    async def _undo(self, cause: BaseException) -> None:
        """Roll back to the savepoint; where that cannot be, end the session."""
        try:
            await self.connection.undo_block()
        except Exception as error:
            if is_lost(self._raw, error):
                raise
            # A statement that nobody awaits goes on, or it is another transaction by now.
            self._spoilt_by = cause
            self._raw.terminate()

    async def flush(self) -> None:
        """Send deferred writes."""
        await self.connection.flush()

    async def settle(self) -> None:
        """Send deferred writes, and have deferred constraints checked."""
        await self.connection.settle()

    async def park(self, letter: DeadLetter, retry_after_seconds: float | None) -> None:
        """Keep a dead letter."""
        place = (self._partition.projection, letter.record.stream)
        await self._raw.execute(
            sql("park"), *place, *_event(letter.record), *_failure(letter), retry_after_seconds
        )

    async def take_due_dead_letter(self) -> OpenDeadLetter | None:
        """Lock the letter that has been due longest."""
        share = (self._partition.index, self._partition.count)
        row = await self._raw.fetchrow(sql("lock_due_letter"), self._partition.projection, *share)
        return None if row is None else OpenDeadLetter(*row)

    async def queued_events(
        self, stream: str, from_version: int, upto_position: int, limit: int
    ) -> list[RecordedEvent]:
        """Return the events of a parked stream from a version on, bounded in bytes as well."""
        bounds = (from_version, upto_position, limit, PAGE_BYTES)
        projection = self._partition.projection
        rows = await self._raw.fetch(sql("read_stream_until"), stream, *bounds, projection)
        return [RecordedEvent(*row) for row in rows]

    async def resolve(self, letter: OpenDeadLetter, *, is_erased: bool = False) -> None:
        """Close a letter."""
        if is_erased:
            await self._raw.execute(sql("resolve_erased"), letter.id)
        elif letter.is_waiting:
            await self._raw.execute(sql("forget_letter"), letter.id)
        else:
            await self._raw.execute(sql("resolve_letter"), letter.id, "retried", None)

    async def advance(self, letter: OpenDeadLetter, record: RecordedEvent) -> None:
        """Let a letter stand for a later event of its stream."""
        await self._raw.execute(sql("advance_letter"), letter.id, *_event(record))

    async def fail_again(
        self, letter: OpenDeadLetter, failure: DeadLetter, retry_after_seconds: float | None
    ) -> None:
        """Keep a letter open for the event that failed now."""
        await self._raw.execute(
            sql("fail_letter"),
            letter.id,
            *_event(failure.record),
            *_failure(failure),
            retry_after_seconds,
        )

    async def move(self, position: int) -> None:
        """Move the checkpoint by compare-and-set.

        Raises:
            CheckpointMovedError: It is no longer where this transaction began.
            TransactionEndError: This is not the transaction that began there.
            ValueError: `position` is below that; what lies between would take effect twice.
        """
        begun = self._place.position
        if position < begun:
            raise ValueError(f"{self._partition} would go back from {begun} to {position}.")
        self._require_open()
        key = _key(self._partition)
        status = await self._raw.execute(
            sql("move_checkpoint"), *key, begun, position, self._place.transaction
        )
        if status != "UPDATE 1":
            if await self._raw.fetchval(sql("read_transaction")) != self._place.transaction:
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


class PostgresProjectionStore:
    """Reads pages and opens transactions on connections of a pool.

    Args:
        pool: Lends connections; whoever made it closes it.
        handled: What each projection handles, kept with its checkpoint; of others nothing is kept.
    """

    def __init__(
        self, pool: MeteredPool, handled: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._pool = pool
        self._handled: Final = {name: list(types) for name, types in (handled or {}).items()}
        # As each loop was told of them with its checkpoint.
        self._discarded: Final[dict[Partition, frozenset[int]]] = {}

    async def count_discarded(self, projection: str) -> int:
        """Return how many events of the log people gave up for a projection."""
        return int(await self._pool.fetchval(sql("count_discarded"), projection))

    async def read_checkpoint(self, partition: Partition) -> Checkpoint:
        """Return where the partition stands."""
        row = await self._pool.fetchrow(sql("read_checkpoint"), *_key(partition))
        if row is None:
            raise _gone(partition)
        discarded = self._discarded[partition] = frozenset(row["discarded"])
        return Checkpoint(row["position"], State(row["state"]), discarded)

    async def end_failure(self, partition: Partition) -> None:
        """Let a live copy run whose setup failed in another worker."""
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
        """Mark a live copy that runs as failed; letters of this error are due once it goes on."""
        await self._pool.execute(sql("stand_still"), *_key(partition), reason, error_type)

    async def go_on(self, partition: Partition) -> None:
        """Let a live copy run again that stood still."""
        await self._pool.execute(sql("go_on"), *_key(partition))

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
        spoilt_by: BaseException | None = None
        session = 0
        try:
            async with self._pool.acquire() as raw:
                session = raw.get_server_pid()
                lost = f"The session of {partition} ended in the middle of its transaction."
                with translate_loss(raw, lost):
                    async with read_committed(raw):
                        place = await self._open(
                            raw, partition, position, repeatable=repeatable, halted=halted
                        )
                        transaction = PostgresTransaction(raw, partition, place, eager=eager)
                        try:
                            with keep_transaction(raw, str(partition)):
                                yield transaction
                            if partition.copy == "rebuild":
                                await refuse_stray_writes(raw, partition.projection)
                        except BaseException as error:
                            spoilt_by = await _free(raw, transaction, error)
                            raise
                        finally:
                            transaction.connection.close()
        except StoreUnavailableError:
            # The session that we ended ourselves.
            if spoilt_by is None:
                raise
            # A statement under way there would go on, and keep the checkpoint locked.
            await self._pool.execute(sql("end_session"), session)
            raise spoilt_by from None

    async def _open(
        self,
        raw: RawConnection,
        partition: Partition,
        position: int,
        *,
        repeatable: bool,
        halted: bool,
    ) -> Place:
        """Lock the checkpoint row and lead writes to where they belong."""
        found = await raw.fetchrow(sql("lock_checkpoint"), *_key(partition), repeatable, halted)
        row = _require_there(found, partition, position)
        self._require_told(row, partition)
        await self._keep_handled(raw, row, partition)
        if partition.copy == "rebuild":
            await raw.execute(sql("prepend_search_path"), new_schema(partition.projection))
        return Place(position, row["transaction"], has_parked=row["has_parked"])

    def _require_told(self, row: asyncpg.Record, partition: Partition) -> None:
        """Make sure that what lies ahead was read in the knowledge of all that is discarded."""
        if not self._discarded.get(partition, frozenset()).issuperset(row["discarded"]):
            raise CheckpointMovedError(f"An event ahead of {partition} was discarded.")

    async def _keep_handled(
        self, raw: RawConnection, row: asyncpg.Record, partition: Partition
    ) -> None:
        """Keep from where on other types are handled than by who moved the checkpoint last."""
        types = self._handled.get(partition.projection)
        if types is None or row["handles"] == types:
            return
        key = _key(partition)
        await raw.execute(sql("end_handled_range"), *key[:3], row["position"])
        await raw.execute(sql("begin_handled_range"), *key, row["position"], types)

    async def halt(self, partition: Partition, reason: str) -> None:
        """Stop a rebuild until somebody takes it up again."""
        await self._pool.execute(sql("halt_rebuild"), partition.projection, reason)

    async def swap(self, projection: str) -> bool:
        """Swap a rebuilt copy in."""
        async with self._pool.acquire() as raw:
            return await swap(raw, projection)

    async def has_due_dead_letters(self, partition: Partition, position: int) -> bool:
        """Tell whether a dead letter of the projection is to be tried again."""
        row = await self._pool.fetchrow(sql("has_due_letters"), *_key(partition))
        return bool(_require_there(row, partition, position)["has_due"])

    def is_transient(self, error: BaseException) -> bool:
        """Tell whether the same work can succeed later with nobody's help."""
        passing = isinstance(error, StoreUnavailableError | LogShortenedError)
        return passing or is_transient(error)


def _key(partition: Partition) -> tuple[object, ...]:
    return partition.projection, partition.copy, partition.index, partition.count


def _gone(partition: Partition) -> CheckpointGoneError:
    return CheckpointGoneError(f"{partition} of {partition.count} has no checkpoint.")


def _event(record: RecordedEvent) -> tuple[object, ...]:
    return record.position, record.version, str(record.id), record.type


def _failure(letter: DeadLetter) -> tuple[object, ...]:
    return (
        letter.category.value,
        letter.error_type,
        letter.error_message,
        letter.traceback,
        letter.attempts,
        letter.trace_id,
    )


async def _free(
    raw: RawConnection, transaction: PostgresTransaction, error: BaseException
) -> BaseException | None:
    """Leave the connection free for the rollback; return the error where it cannot be."""
    try:
        await transaction.connection.abandon()
        if transaction.connection.is_shared and not raw.is_closed():
            # A task may go on with it that nobody awaits.
            await raw.execute("")
    except (ConcurrentStatementsError, asyncpg.InterfaceError, asyncpg.InternalClientError) as busy:
        if isinstance(busy, ConcurrentStatementsError) or is_busy(busy):
            raw.terminate()
            return error
    return error if transaction.is_spoilt else None


def _require_there(
    row: asyncpg.Record | None, partition: Partition, position: int
) -> asyncpg.Record:
    """Return a checkpoint's row if it stands where its owner believes, and is to be moved."""
    if row is None:
        raise _gone(partition)
    if row["position"] != position:
        raise CheckpointMovedError(f"The checkpoint of {partition} was moved.")
    if row["state"] != State.RUNNING:
        raise ProjectionPausedError(f"{partition} is {row['state']}.")
    return row
