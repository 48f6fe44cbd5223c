"""What loops need of a store: read models in PostgreSQL, all the rest in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import asyncpg
from typing_extensions import override

from sidecar.errors import CheckpointMovedError, ProjectionError
from sidecar.events.record import RecordedEvent
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.postgres.query import sql
from sidecar.projections.dead_letter import DeadLetter
from sidecar.projections.ports import Checkpoint, OpenDeadLetter, Span, State
from sidecar.projections.projection import Partition
from sidecar.testing.injected_fault import Fault
from sidecar.testing.ledger import Ledger, Log


class RunHaltedError(ProjectionError):
    """A loop would stand still until a person has decided."""


class RunTransaction(PostgresTransaction):
    """One on a scratch schema, whose checkpoint and dead letters are in memory."""

    def __init__(
        self,
        raw: RawConnection,
        partition: Partition,
        row: asyncpg.Record,
        schemas: Sequence[str],
        log: Log,
        ledger: Ledger,
        *,
        eager: bool,
    ) -> None:
        super().__init__(raw, partition, row, schemas[-1], eager=eager)
        self._schemas: Final = schemas
        self._log: Final = log
        self._ledger: Final = ledger

    @override
    async def prepare(self) -> None:
        for schema in self._schemas:
            await self._raw.execute(sql("prepend_search_path"), schema)

    @override
    async def parked_among(self, streams: Iterable[str]) -> frozenset[str]:
        if self._partition.copy != "live":
            return frozenset()
        return self._ledger.parked().intersection(streams)

    @override
    async def park(self, letter: DeadLetter, retry_after_seconds: float | None) -> None:
        self._ledger.keep(letter, is_due=retry_after_seconds is not None)

    @override
    async def take_due_dead_letter(self) -> OpenDeadLetter | None:
        due = self._ledger.due(self._log, self._partition)
        return next((entry.open for entry in due), None)

    @override
    async def queued_events(
        self, stream: str, from_version: int, upto_position: int, limit: int
    ) -> list[RecordedEvent]:
        return self._log.stream(stream, from_version, upto_position)[:limit]

    @override
    async def resolve(self, letter: OpenDeadLetter, *, is_erased: bool = False) -> None:
        del self._ledger.entries[letter.id]

    @override
    async def advance(self, letter: OpenDeadLetter, record: RecordedEvent) -> None:
        self._ledger.advance(letter.id, record)

    @override
    async def fail_again(
        self, letter: OpenDeadLetter, failure: DeadLetter, retry_after_seconds: float | None
    ) -> None:
        self._ledger.fail_again(letter.id, failure, is_due=retry_after_seconds is not None)

    @override
    async def settle_waiting(
        self, stream: str, taken_up: Sequence[RecordedEvent], left_out: Sequence[RecordedEvent]
    ) -> None:
        """Keep nothing: one release alone applies these events."""

    @override
    async def count_unknown(self) -> int:
        return 0

    @override
    async def move(self, position: int) -> None:
        self._require_open()
        self._ledger.positions[self._partition] = position


class RunStore(PostgresProjectionStore):
    """Opens transactions on a scratch schema.

    Attributes:
        ledger: What was committed.
        session: The backend of the transaction under way.

    Args:
        pool: Connections come from it.
        log: The events.
        schemas: On the search path, the one that is written to last.
        page_events: How many positions a page spans.
        fault: What goes wrong.
    """

    def __init__(
        self, pool: MeteredPool, log: Log, schemas: Sequence[str], page_events: int, fault: Fault
    ) -> None:
        super().__init__(pool)
        self.ledger = Ledger()
        self.session = 0
        self.discarded: frozenset[int] = frozenset()
        self._log: Final = log
        self._schemas: Final = schemas
        self._page_events: Final = page_events
        self._fault: Final = fault

    @override
    async def read_checkpoint(self, partition: Partition) -> Checkpoint:
        position = self.ledger.positions.setdefault(partition, 0)
        return Checkpoint(position, State.RUNNING, self.discarded)

    @override
    async def read_page(
        self,
        partition: Partition,
        after_position: int,
        upto_position: int,
        types: Sequence[str] | None = None,
    ) -> Span:
        upto = min(upto_position, after_position + self._page_events)
        records = self._log.page(partition, after_position, upto)
        return Span([r for r in records if types is None or r.type in types], upto)

    @override
    @asynccontextmanager
    async def begin(
        self,
        partition: Partition,
        position: int,
        *,
        eager: bool,
        repeatable: bool,
        halted: bool = False,
    ) -> AsyncIterator[RunTransaction]:
        if self.ledger.positions[partition] != position:
            raise CheckpointMovedError(f"The checkpoint of {partition} was moved.")
        ledger = self.ledger.copy()
        lock = partial(self._open, partition=partition, ledger=ledger, eager=eager)
        async with self._handling(partition, lock) as transaction:
            self.session = transaction.session
            yield transaction
            self._fault.before_commit()
        self.ledger = ledger
        self._fault.after_commit()

    async def _open(
        self, raw: RawConnection, partition: Partition, ledger: Ledger, *, eager: bool
    ) -> RunTransaction:
        (row,) = await raw.fetch(sql("begin_check"))
        schemas, log = self._schemas, self._log
        return RunTransaction(raw, partition, row, schemas, log, ledger, eager=eager)

    @override
    async def has_due_dead_letters(self, partition: Partition, position: int) -> bool:
        return any(self.ledger.due(self._log, partition))

    @override
    async def stand_still(self, partition: Partition, reason: str, error_type: str) -> None:
        raise RunHaltedError(f"{partition} would stand still: {reason}")

    @override
    async def halt(self, partition: Partition, reason: str) -> None:
        raise RunHaltedError(reason)

    @override
    async def end_failure(self, partition: Partition) -> None:
        """Do nothing: none is marked as failed."""

    @override
    async def go_on(self, partition: Partition) -> None:
        """Do nothing: none stands still."""
