"""`EventStore`: append with an expected version, read by stream and by position."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Final, NamedTuple, Protocol

import asyncpg
from typing_extensions import override

from sidecar.errors import (
    ConcurrencyError,
    MigrationError,
    SerializationConflictError,
    StoreUnavailableError,
)
from sidecar.events.append_arguments import require_arguments, write_metadata
from sidecar.events.event_log import PAGE_EVENTS, Appended, EventLog
from sidecar.events.record import ANY, RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.connection import RawConnection, read_committed, translate_loss
from sidecar.postgres.event_id import make_ids
from sidecar.postgres.joining import require_transaction
from sidecar.postgres.notify import CommitNotifier
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.query import sql

_MAX_POSITION: Final = 2**63 - 1
# A writer without an expected version who loses a race reads the stream again; each round at least
# one writer wins, so this many losses in a row mean a stream that should not be written like that.
_MAX_RACES: Final = 50


class Arguments(NamedTuple):
    """Of the append statements, in their order; of many events a column each."""

    stream: str
    expected_version: int | None
    ids: object
    types: object
    schema_versions: object
    data: object
    headers: str | None


class AppendUnderWay(Protocol):
    """One append, as its observer knows it."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """What is kept with each event."""

    def note_position(self, position: int) -> None:
        """Take note of where the last event went."""


class AppendObserver(Protocol):
    """What the telemetry implements; it must neither raise nor wait."""

    def append(
        self, stream: str, event_type: str, count: int, metadata: Mapping[str, object]
    ) -> AbstractContextManager[AppendUnderWay]:
        """Take note of an append for the length of the block, and of how it ends."""


class EventStore(EventLog):
    """The log in PostgreSQL. No lock serialises writers; positions grow, with gaps.

    Attributes:
        observer: Hears of each append, and adds the trace under way to its metadata.

    Args:
        pool: Lends connections; whoever made it closes it.
        types: The event types that this service writes and reads.
    """

    def __init__(self, pool: MeteredPool, types: EventTypes) -> None:
        self._pool = pool
        self._types = types
        self._wake = CommitNotifier(pool)
        self.observer: AppendObserver | None = None

    @override
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
                what else is written there (outbox). Of SQLAlchemy it is the `driver_connection`,
                once a first statement has begun its transaction.

        Raises:
            ConcurrencyError: The stream is at another version; no position was drawn.
            EventTypeError: An event's class is not registered.
            MigrationError: The database has no schema `sidecar` yet.
            SerializationConflictError: The transaction on `connection` is stricter than read
                committed and must be run again as a whole. Where only its commit fails, that is
                asyncpg's own `SerializationError`.
            StoreUnavailableError: PostgreSQL cannot be reached, has no room or gives a position
                that is taken, and nothing was appended; or the session ended before the answer
                came, and the message says that the events may be there. With `connection` a lost
                session is asyncpg's own error, and the commit decides.
            TimeoutError: The pool's `command_timeout_seconds` ran out; the events may be there.
            UsageError: `connection` is in no transaction, or none of asyncpg; or the metadata has
                no JSON form. Nothing was appended.
            ValueError: There are no events, or the stream has no name that can be kept.
        """
        require_arguments(stream, events, metadata)
        if connection is not None:
            require_transaction(connection)
        observer = self.observer
        if observer is None:
            return await self._append(stream, events, expected_version, metadata, connection)
        event_type = self._types.name_of(events[0])
        with observer.append(stream, event_type, len(events), metadata or {}) as under_way:
            appended = await self._append(
                stream, events, expected_version, under_way.metadata, connection
            )
            under_way.note_position(appended.position)
        return appended

    async def _append(
        self,
        stream: str,
        events: Sequence[object],
        expected_version: int | None,
        metadata: Mapping[str, object] | None,
        connection: "RawConnection | None",
    ) -> Appended:
        query = sql("append_one" if len(events) == 1 else "append_many")
        arguments = self._arguments(stream, events, expected_version, metadata)
        if connection is not None:
            return await _insert(connection, query, arguments)
        async with self._pool.acquire_untouched() as own:
            with translate_loss(own, _in_doubt(stream)):
                appended = await _append_alone(own, query, arguments)
        self._wake.tell()
        return appended

    @override
    async def read_stream(
        self, stream: str, *, after_version: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        rows = await self._pool.fetch(sql("read_stream"), stream, after_version, limit)
        return [RecordedEvent(*row) for row in rows]

    @override
    async def read(
        self, *, after_position: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return the log above a position, ascending by position, at most `limit`.

        What this returns may have gaps that a slow transaction still fills. A reader that keeps a
        position of its own and must miss nothing belongs behind `sidecar run`.
        """
        rows = await self._pool.fetch(sql("read_log"), after_position, _MAX_POSITION, limit)
        return [RecordedEvent(*row) for row in rows]

    @override
    def decode(self, record: RecordedEvent) -> object:
        return self._types.decode(record)

    def _arguments(
        self,
        stream: str,
        events: Sequence[object],
        expected_version: int | None,
        metadata: Mapping[str, object] | None,
    ) -> Arguments:
        headers = write_metadata(metadata)
        ids = make_ids(len(events))
        if len(events) == 1:
            return Arguments(
                stream, expected_version, ids[0], *self._types.encode(events[0]), headers
            )
        names, versions, data = zip(*map(self._types.encode, events), strict=True)
        return Arguments(stream, expected_version, ids, names, versions, data, headers)


def _in_doubt(stream: str) -> str:
    return (
        f"The session ended while events of stream {stream!r} were appended: they may be there or "
        "not. Read the stream, or give `expected_version`, before trying again."
    )


async def _append_alone(connection: RawConnection, query: str, arguments: Arguments) -> Appended:
    """Insert in a transaction of its own, which no default of the database makes stricter."""
    try:
        return await _insert_against_races(connection, query, arguments, _as_is)
    except SerializationConflictError:
        # To say so from the start would cost every append two round trips more.
        return await _insert_against_races(connection, query, arguments, read_committed)


def _as_is(_connection: RawConnection) -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def _insert_against_races(
    connection: RawConnection,
    query: str,
    arguments: Arguments,
    begin: Callable[[RawConnection], AbstractAsyncContextManager[None]],
) -> Appended:
    """Insert; try again after a lost race where any version will do."""
    stream, expected_version = arguments.stream, arguments.expected_version
    for _ in range(_MAX_RACES):
        try:
            async with begin(connection):
                return await _insert(connection, query, arguments)
        except ConcurrencyError as error:
            if expected_version is not ANY:
                actual = error.actual
                if actual is None:
                    async with begin(connection):
                        actual = await _read_version(connection, stream)
                raise ConcurrencyError(stream, error.expected, actual) from error
    async with begin(connection):
        return await _insert(connection, query, arguments)


async def _insert(connection: RawConnection, query: str, arguments: Arguments) -> Appended:
    stream, expected_version = arguments.stream, arguments.expected_version
    try:
        rows = await connection.fetch(query, *arguments)
    except asyncpg.SerializationError as error:
        raise _conflict() from error
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "events_pkey":
            raise _set_back() from error
        if error.constraint_name != "events_stream_version_key":
            raise
        raise ConcurrencyError(stream, expected_version, None) from error
    except asyncpg.UndefinedTableError as error:
        raise MigrationError(
            "The database has no event store yet: run `sidecar migrate`, or start `sidecar serve`, "
            "which applies what is missing outside of production."
        ) from error
    # Disk, memory, connections or locks are used up; the same append succeeds once there is room.
    except asyncpg.InsufficientResourcesError as error:
        raise StoreUnavailableError(
            f"PostgreSQL has no room for the event: SQLSTATE {error.sqlstate}. Look at its disk "
            "and its log; nothing was appended."
        ) from error
    if not rows:
        actual = await _read_version(connection, stream)
        raise ConcurrencyError(stream, expected_version, actual)
    return Appended(*rows[-1])


async def _read_version(connection: RawConnection, stream: str) -> int:
    try:
        version: int = await connection.fetchval(sql("read_stream_version"), stream)
    except asyncpg.SerializationError as error:
        raise _conflict() from error
    return version


def _set_back() -> StoreUnavailableError:
    return StoreUnavailableError(
        "The event store hands out positions that are taken: its sequence was set back. Nothing "
        "was appended. The sidecar's log and status page give the statement that sets it right."
    )


def _conflict() -> SerializationConflictError:
    return SerializationConflictError(
        "The transaction conflicts with one that was committed meanwhile; nothing of it can be "
        "kept. Roll it back and run the whole transaction again, from its first read."
    )
