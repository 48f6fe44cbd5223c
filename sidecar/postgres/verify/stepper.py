"""One stream's events, applied one after the other to a copy that is thrown away."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec

from sidecar.errors import ProjectionError, RebuildStrayedError
from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import is_own, sql
from sidecar.postgres.tables.copies import create_schema, quote, step_schema
from sidecar.postgres.tables.shadow import find_places
from sidecar.postgres.tables.table_copy import Place, copy_key_actions, copy_shape
from sidecar.projections.delivery import Delivery, EventFailedError, Router
from sidecar.projections.one_by_one import apply_one
from sidecar.projections.projection import Partition, Subscription

PAGE_EVENTS: Final = 200

Row: TypeAlias = Mapping[str, Any]
_Rows: TypeAlias = dict[tuple[str, int], Row]

_decode_row: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode

_REMARKS: Final = {
    "has_triggers": "has triggers, which do not act on the copy",
    "has_rules": "has rules, which do not act on the copy",
    "has_children": "has tables that inherit from it, whose rows its copy does not show",
    "has_foreign_keys": "takes part in foreign keys, which the copy follows but does not check",
    "has_policies": "has row-level security, which does not hold on the copy",
}

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
        is_handled: Whether the handler was called.
        statements: In the order in which they were sent; COPY is not among them.
        changes: By table and row.
        error: Why it failed; its statements were rolled back.
    """

    record: RecordedEvent
    is_handled: bool = False
    statements: tuple[Statement, ...] = ()
    changes: tuple[RowChange, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Copy:
    """The copy of one table, by which of whose columns rows are told apart."""

    name: str
    oid: int
    place: str
    key: tuple[str, ...]


class Stepper:
    """Steps through a stream in a transaction that is rolled back; made by `open_stepper`.

    Only this stream's events are applied: a row that gathers events of several streams holds what
    this one contributes.

    Attributes:
        remarks: What does not act on the copy as it does on the read model.
    """

    def __init__(
        self,
        raw: RawConnection,
        transaction: PostgresTransaction,
        subscription: Subscription,
        router: Router,
        tables: Sequence[_Copy],
        start_position: int,
        remarks: Sequence[str],
    ) -> None:
        self.remarks: Final = remarks
        self._raw: Final = raw
        self._transaction: Final = transaction
        self._subscription: Final = subscription
        self._router: Final = router
        self._tables: Final = tables
        self._start_position: Final = start_position
        self._rows: dict[_Copy, _Rows] = {table: {} for table in tables}
        self._stamps: list[str | None] = [""] * len(tables)

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
        if not version:
            raise ProjectionError(f"There is no stream {stream!r}, or all of it was erased.")
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
            if not query.query.startswith(_OURS) and not is_own(query.query):
                statements.append(Statement(query.query, tuple(map(repr, query.args))))

        with self._raw.query_logger(note):
            error = await self._try(deliveries[0])
        return Step(record, True, tuple(statements), await self._find_changes(), error)

    async def _try(self, delivery: Delivery) -> Exception | None:
        """Apply one event, or none of it; return why it failed."""
        transaction = self._transaction
        try:
            async with transaction.savepoint():
                await apply_one(transaction, self._subscription, delivery)
                # Each event for itself: one that strays is undone, and the next ones are shown.
                await transaction.refuse_stray_writes()
        except EventFailedError as failure:
            return failure.cause
        except RebuildStrayedError as error:
            return error
        return None

    async def _find_changes(self) -> tuple[RowChange, ...]:
        changes: list[RowChange] = []
        oids = [table.oid for table in self._tables]
        rows = await self._raw.fetch(sql("stamp_tables"), oids)
        before, self._stamps = self._stamps, [row["stamp"] for row in rows]
        for table, old, new in zip(self._tables, before, self._stamps, strict=True):
            if new is None or new != old:
                changes += await self._look_at(table)
        return tuple(changes)

    async def _look_at(self, table: _Copy) -> Iterator[RowChange]:
        before, after = self._rows[table], await self._read_rows(table)
        self._rows[table] = after
        return (
            RowChange(table.name, before.get(key), after.get(key))
            for key in dict.fromkeys((*before, *after))
            if before.get(key) != after.get(key)
        )

    async def _read_rows(self, table: _Copy) -> _Rows:
        """Return all rows by key; without a key, by what they hold and how often."""
        found: _Rows = {}
        seen: Counter[str] = Counter()
        query = f"SELECT to_jsonb(t.*)::text AS row FROM {table.place} AS t"  # noqa: S608
        for record in await self._raw.fetch(query):
            row = _decode_row(record["row"])
            key = write_row([row[name] for name in table.key] or row)
            seen[key] += 1
            found[key, seen[key]] = row
        return found


def write_row(value: object) -> str:
    """Return a row, or values of one, as JSON; numbers stay as PostgreSQL writes them."""
    return _encode(value).decode()


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
        MissingRightsError: The role may make no schema.
    """
    _require_copyable(subscription)
    partition = Partition(subscription.name, copy="step")
    transaction = raw.transaction()
    await transaction.start()
    try:
        schema = f"{step_schema()}_{raw.get_server_pid()}"
        await create_schema(raw, schema)
        remarks = [each for table in subscription.tables for each in await _remark(raw, table)]
        places = await find_places(raw, subscription.tables)
        tables = [
            await _copy(raw, table, place, schema)
            for table, place in zip(subscription.tables, places, strict=True)
        ]
        await copy_key_actions(raw, places, schema)
        (row,) = await raw.fetch(sql("begin_step"), subscription.name)
        applying = PostgresTransaction(raw, partition, row, schema, eager=True)
        await applying.prepare()
        async with applying.handling():
            router = Router(subscription.subscriber, types)
            start = row["start_position"]
            yield Stepper(raw, applying, subscription, router, tables, start, remarks)
    finally:
        await transaction.rollback()


async def _copy(raw: RawConnection, table: str, place: Place, schema: str) -> _Copy:
    keys = await raw.fetch(sql("list_unique_keys"), place.oid)
    await copy_shape(raw, place, schema)
    key = tuple(keys[0]["columns"]) if keys else ()
    copied = f"{quote(schema)}.{quote(place.name)}"
    oid = await raw.fetchval("SELECT $1::text::regclass::oid", copied)
    return _Copy(table, oid, copied, key)


async def _remark(raw: RawConnection, table: str) -> list[str]:
    """Return what of a table is not in its copy."""
    found = await raw.fetchrow(sql("find_table"), table)
    if found is None:
        return []
    return [f"Table {table} {text}." for column, text in _REMARKS.items() if found[column]]


def _require_copyable(subscription: Subscription) -> None:
    """Make sure that stepping touches nothing but a copy.

    Raises:
        ProjectionError: It would.
    """
    if not subscription.is_repeatable:
        raise ProjectionError(
            f"{subscription.name} acts outside of the database, for its handler takes no "
            "connection: a step would do that again."
        )
    if not subscription.tables:
        raise ProjectionError(
            f"{subscription.name} declares no `tables`: a step would write to the live ones."
        )
