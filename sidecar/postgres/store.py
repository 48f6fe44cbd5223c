"""`EventStore`: append with an expected version, read by stream and by position."""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec

from sidecar.errors import ConcurrencyError
from sidecar.events.record import ANY, RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.wake import Wake

PAGE_EVENTS: Final = 1000
_MAX_POSITION: Final = 2**63 - 1
# A writer without an expected version who loses a race reads the stream again; each round at least
# one writer wins, so this many losses in a row mean a stream that should not be written like that.
_MAX_RACES: Final = 50

AddHeaders = Callable[[Mapping[str, object]], Mapping[str, object]]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the events went: version and position of the last one."""

    version: int
    position: int


class EventStore:
    """The log in PostgreSQL. No lock serialises writers; positions grow, with gaps.

    Attributes:
        add_headers: Adds to each append's metadata, such as the trace under way; set by the agent.

    Args:
        pool: Lends connections; whoever made it closes it.
        types: The event types that this service writes and reads.
    """

    def __init__(self, pool: MeteredPool, types: EventTypes) -> None:
        self._pool = pool
        self._types = types
        self._wake = Wake(pool)
        self.add_headers: AddHeaders | None = None

    async def append(
        self,
        stream: str,
        events: Sequence[object],
        *,
        expected_version: int | None = ANY,
        metadata: Mapping[str, object] | None = None,
        connection: "RawConnection | None" = None,
    ) -> Appended:
        """Append events to a stream, all or none, in one round trip.

        Args:
            stream: Name of the stream, such as `order-4711`.
            events: Registered event objects, in order.
            expected_version: `ANY`, `NO_STREAM`, or the version last read.
            metadata: Kept with each event, for example `traceparent`.
            connection: Joins the transaction open on it, so that the events stand or fall with
                what else is written there (outbox).

        Raises:
            ConcurrencyError: The stream is at another version; no position was drawn.
            EventTypeError: An event's class is not registered.
            ValueError: There are no events, or the stream has no name.
        """
        if not stream or not events:
            raise ValueError("append needs the name of a stream and at least one event")
        arguments = self._arguments(stream, events, expected_version, metadata)
        query = sql("append_one" if len(events) == 1 else "append_many")
        if connection is not None:
            row = await self._insert(connection, query, arguments, expected_version)
        else:
            row = await self._insert_on_own(query, arguments, expected_version)
            self._wake.tell()
        return _read_result(stream, len(events), expected_version, row)

    async def read_stream(
        self, stream: str, *, after_version: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return a stream's events above a version, ascending by version, at most `limit`."""
        rows = await self._pool.fetch(sql("read_stream"), stream, after_version, limit)
        return [RecordedEvent(*row) for row in rows]

    async def read(
        self, *, after_position: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return the log above a position, ascending by position, at most `limit`.

        What this returns may have gaps that a slow transaction still fills. A reader that keeps a
        position of its own and must miss nothing belongs behind `sidecar run`.
        """
        rows = await self._pool.fetch(sql("read_log"), after_position, _MAX_POSITION, limit)
        return [RecordedEvent(*row) for row in rows]

    async def read_all(self, *, page_events: int = PAGE_EVENTS) -> AsyncIterator[RecordedEvent]:
        """Yield the whole log, ascending by position, reading it in pages."""
        position = 0
        while page := await self.read(after_position=position, limit=page_events):
            for record in page:
                yield record
            position = page[-1].position

    def decode(self, record: RecordedEvent) -> object:
        """Make the event object of a record whose type is registered.

        Raises:
            EventDecodingError: The record does not fit its type.
            KeyError: The type is not registered.
        """
        event_type = self._types.find(record.type)
        if event_type is None:
            raise KeyError(record.type)
        return event_type.decode(record)

    def _arguments(
        self,
        stream: str,
        events: Sequence[object],
        expected_version: int | None,
        metadata: Mapping[str, object] | None,
    ) -> tuple[object, ...]:
        rows = [(uuid.uuid4(), *self._types.encode(event)) for event in events]
        if self.add_headers is not None:
            metadata = self.add_headers(metadata or {})
        headers = _encode(metadata).decode() if metadata else None
        if len(rows) == 1:
            return (stream, expected_version, *rows[0], headers)
        columns = (list(column) for column in zip(*rows, strict=True))
        return (stream, expected_version, *columns, headers)

    async def _insert_on_own(
        self, query: str, arguments: tuple[object, ...], expected_version: int | None
    ) -> asyncpg.Record:
        async with self._pool.acquire() as connection:
            for _ in range(_MAX_RACES):
                try:
                    return await self._insert(connection, query, arguments, expected_version)
                except ConcurrencyError as error:
                    if expected_version is not ANY:
                        stream = error.stream
                        actual = await connection.fetchval(sql("read_stream_version"), stream)
                        raise ConcurrencyError(stream, error.expected, actual) from error
            return await self._insert(connection, query, arguments, expected_version)

    async def _insert(
        self,
        connection: RawConnection,
        query: str,
        arguments: tuple[object, ...],
        expected_version: int | None,
    ) -> asyncpg.Record:
        try:
            row = await connection.fetchrow(query, *arguments)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "events_stream_version_key":
                raise
            raise ConcurrencyError(str(arguments[0]), expected_version or 0, None) from error
        if row is None:
            raise RuntimeError("the append statement returned no row")
        return row


def _read_result(
    stream: str, count: int, expected_version: int | None, row: asyncpg.Record
) -> Appended:
    before, position = row
    if position is None:
        raise ConcurrencyError(stream, expected_version or 0, before)
    return Appended(before + count, position)
