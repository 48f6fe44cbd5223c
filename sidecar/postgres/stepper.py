"""One stream's events, applied one after the other to a copy that is thrown away."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec

from sidecar.errors import ProjectionError
from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.copies import quote, step_schema
from sidecar.postgres.projection_transaction import PostgresTransaction
from sidecar.postgres.query import sql
from sidecar.postgres.table_copy import copy_shape, require_table
from sidecar.postgres.verification_store import require_verifiable
from sidecar.projections.delivery import EventFailedError, Router
from sidecar.projections.one_by_one import apply_one
from sidecar.projections.projection import Partition, Subscription

PAGE_EVENTS: Final = 200

Row: TypeAlias = Mapping[str, Any]

_OURS: Final = ("SAVEPOINT", "RELEASE", "ROLLBACK TO", "SET CONSTRAINTS")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a handler sent, with its parameters."""

    query: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that an event has changed: before None for a new one, after None for a deleted one."""

    table: str
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True)
class Step:
    """One event, and what the projection made of it.

    Attributes:
        statements: In the order in which they were sent.
        changes: By table and row.
        error: Why it failed; its statements were rolled back.
    """

    record: RecordedEvent
    statements: tuple[Statement, ...] = ()
    changes: tuple[RowChange, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Copy:
    """The copy of one table, by which of whose columns rows are told apart."""

    name: str
    place: str
    key: tuple[str, ...]


class Stepper:
    """Steps through a stream in a transaction that is rolled back; made by `open_stepper`.

    Only this stream's events are applied: a row that gathers events of several streams holds what
    this one contributes.
    """

    def __init__(
        self,
        raw: RawConnection,
        transaction: PostgresTransaction,
        subscription: Subscription,
        router: Router,
        tables: Sequence[_Copy],
        start_position: int,
    ) -> None:
        self._raw: Final = raw
        self._transaction: Final = transaction
        self._subscription: Final = subscription
        self._router: Final = router
        self._tables: Final = tables
        self._start_position: Final = start_position
        self._rows: dict[tuple[str, str], Row] = {}

    async def steps(
        self, stream: str, from_version: int, upto_version: int | None
    ) -> AsyncIterator[Step]:
        """Yield the steps from a version on; those before it are applied first.

        Raises:
            ProjectionError: The stream has no such event.
        """
        version, is_empty = 0, True
        while records := await self._read(stream, version):
            for record in records:
                if upto_version is not None and record.version > upto_version:
                    return
                step = await self._apply(record)
                if record.version >= from_version:
                    is_empty = False
                    yield step
            version = records[-1].version
        if is_empty:
            raise ProjectionError(f"Stream {stream!r} has no event from version {from_version} on.")

    async def _read(self, stream: str, after: int) -> list[RecordedEvent]:
        rows = await self._raw.fetch(sql("read_stream"), stream, after, PAGE_EVENTS)
        return [RecordedEvent(*row) for row in rows]

    async def _apply(self, record: RecordedEvent) -> Step:
        is_below = record.position <= self._start_position
        deliveries = () if is_below else self._router.route([record])
        if not deliveries:
            return Step(record)
        statements: list[Statement] = []

        def note(query: asyncpg.connection.LoggedQuery) -> None:
            if not query.query.startswith(_OURS):
                statements.append(Statement(query.query, tuple(map(repr, query.args))))

        error = None
        with self._raw.query_logger(note):
            try:
                await apply_one(self._transaction, self._subscription, deliveries[0])
            except EventFailedError as failure:
                error = failure.cause
        return Step(record, tuple(statements), await self._find_changes(), error)

    async def _find_changes(self) -> tuple[RowChange, ...]:
        before, self._rows = self._rows, await self._read_rows()
        return tuple(
            RowChange(table, before.get((table, place)), self._rows.get((table, place)))
            for table, place in dict.fromkeys((*before, *self._rows))
            if before.get((table, place)) != self._rows.get((table, place))
        )

    async def _read_rows(self) -> dict[tuple[str, str], Row]:
        """Return all rows by table and key; of a table without a key, by what they hold."""
        found = {}
        for table in self._tables:
            query = f"SELECT to_jsonb(t)::text AS row FROM {table.place} AS t"  # noqa: S608
            for record in await self._raw.fetch(query):
                row = msgspec.json.decode(record["row"])
                key = [row[name] for name in table.key] or row
                found[table.name, msgspec.json.encode(key).decode()] = row
        return found


@asynccontextmanager
async def open_stepper(
    raw: RawConnection, subscription: Subscription, types: EventTypes
) -> AsyncIterator[Stepper]:
    """Make a copy that only this transaction sees, and throw it away at the end.

    Args:
        raw: Its owner closes it; nothing else may use it meanwhile.
        subscription: Of the projection.
        types: Those that its events are registered in.

    Raises:
        ProjectionError: The projection's read model cannot be copied.
    """
    require_verifiable(subscription)
    partition = Partition(subscription.name, copy="step")
    transaction = raw.transaction()
    await transaction.start()
    try:
        schema = step_schema()
        await raw.execute(f"CREATE SCHEMA {quote(schema)}")
        tables = [await _copy(raw, table, schema) for table in subscription.tables]
        (row,) = await raw.fetch(sql("begin_step"), subscription.name)
        applying = PostgresTransaction(raw, partition, row, schema, eager=True)
        await applying.prepare()
        async with applying.handling():
            router = Router(subscription.subscriber, types)
            yield Stepper(raw, applying, subscription, router, tables, row["start_position"])
    finally:
        await transaction.rollback()


async def _copy(raw: RawConnection, table: str, schema: str) -> _Copy:
    place = await require_table(raw, table, {}, "")
    keys = await raw.fetch(sql("list_unique_keys"), place.oid)
    await copy_shape(raw, place, schema)
    key = tuple(keys[0]["columns"]) if keys else ()
    return _Copy(table, f"{quote(schema)}.{quote(place.name)}", key)
