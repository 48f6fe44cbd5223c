"""`EventStore`: append with an expected version, read by stream and by position."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Protocol

from typing_extensions import override

from sidecar.events.append_arguments import is_storable, require_arguments, write_ids
from sidecar.events.event_log import PAGE_EVENTS, Appended, EventLog
from sidecar.events.record import ANY, RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.checkpoints.read_your_writes import ReadYourWrites
from sidecar.postgres.connection import RawConnection, read_committed, translate_loss
from sidecar.postgres.log.append import (
    AppendArguments,
    append_alone,
    encode_arguments,
    insert,
)
from sidecar.postgres.log.append_once import append_once, begin_savepoint
from sidecar.postgres.log.append_transaction import explain_transaction, require_transaction
from sidecar.postgres.log.notify import CommitNotifier
from sidecar.postgres.log.writer_declaration import WriterDeclaration
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.schema import choose_schema, use_schema

_MAX_POSITION: Final = 2**63 - 1


class AppendUnderWay(Protocol):
    """One append, for its observer."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """Metadata to keep with each event."""

    def note_position(self, position: int) -> None:
        """Record the position of the last event."""


class AppendObserver(Protocol):
    """Observes appends; it must neither raise nor wait."""

    def append(
        self, stream: str, event_type: str, count: int, metadata: Mapping[str, object]
    ) -> AbstractContextManager[AppendUnderWay]:
        """Observe an append for the length of the block, and how it ends."""


class EventStore(EventLog):
    """The log in PostgreSQL. No lock serialises writers; positions grow, with gaps.

    Attributes:
        observer: Observes each append, and adds the current trace to its metadata.
        schema: Of the sidecar's tables.

    Args:
        pool: Connections come from it; its owner closes it.
        types: The event types that this service writes and reads.
        schema: Schema of the sidecar's tables; that of SIDECAR_SCHEMA by default.

    Raises:
        UsageError: The schema has no name that it can have.
    """

    def __init__(self, pool: MeteredPool, types: EventTypes, *, schema: str | None = None) -> None:
        self._pool = pool
        self._types = types
        self.schema: Final = choose_schema(schema)
        self._waits: Final = ReadYourWrites(pool)
        self._notifier: Final = CommitNotifier(pool)
        self._declaration: Final = WriterDeclaration(pool, types)
        self.observer: AppendObserver | None = None

    @override
    async def append(
        self,
        stream: str,
        events: Sequence[object],
        *,
        expected_version: int | None = ANY,
        metadata: Mapping[str, object] | None = None,
        event_ids: Sequence[uuid.UUID] | None = None,
        connection: "RawConnection | None" = None,
    ) -> Appended:
        """Append events to a stream, all or none, in one round trip.

        Args:
            stream: Name of the stream, such as `order-4711`.
            events: Registered event objects, in order.
            expected_version: `ANY`, `NO_STREAM`, or the version last read.
            metadata: Kept with each event, for example `traceparent`.
            event_ids: Chosen by the writer, one for each event, so that an append whose answer was
                lost can be tried again: what is there already is not appended again, whatever
                version is expected, and where it went is returned. Costs two statements more.
            connection: Joins the transaction open on it, so that the events stand or fall with
                what else is written there (outbox). Of SQLAlchemy it is the `driver_connection`,
                once a first statement has begun its transaction.

        Raises:
            ConcurrencyError: The stream is at another version; no position was drawn.
            EventTypeError: An event's class is not registered.
            MigrationError: The database has no event store yet.
            SerializationConflictError: The transaction on `connection` is stricter than read
                committed and must be run again as a whole. Where only its commit fails, that is
                asyncpg's own `SerializationError`.
            StoreUnavailableError: PostgreSQL cannot be reached, has no room or gives a position
                that is taken, and nothing was appended; or the session ended before the answer
                came, and the message says that the events may be there. With `connection` a lost
                session is asyncpg's own error, and the commit decides.
            TimeoutError: The pool's `command_timeout_seconds` ran out; the events may be there.
            UsageError: `connection` is in no transaction, or in one that failed or takes no writes,
                or is none of asyncpg; the metadata has no JSON form; the version is no number; or
                some of the ids are of other events. Nothing was appended.
            ValueError: There are no events, or the stream has no name that can be kept.
        """
        require_arguments(stream, events, metadata, expected_version)
        if connection is not None:
            require_transaction(connection)
        observer, ids = self.observer, write_ids(events, event_ids)
        encode = partial(encode_arguments, self._types, stream, events, expected_version, ids)
        if observer is None:
            return await self._append(encode(metadata), ids, connection)
        event_type = self._types.name_of(events[0])
        with observer.append(stream, event_type, len(events), metadata or {}) as under_way:
            appended = await self._append(encode(under_way.metadata), ids, connection)
            under_way.note_position(appended.position)
        return appended

    async def _append(
        self,
        arguments: AppendArguments,
        ids: Sequence[str] | None,
        connection: "RawConnection | None",
    ) -> Appended:
        with use_schema(self.schema):
            if self._declaration.is_due:
                await self._declaration.make()
            if connection is None:
                return await self._append_alone(arguments, ids)
            with explain_transaction():
                if ids is not None:
                    return await append_once(connection, arguments, ids, begin_savepoint)
                return await insert(connection, arguments)

    async def _append_alone(
        self, arguments: AppendArguments, ids: Sequence[str] | None
    ) -> Appended:
        async with self._pool.acquire_untouched() as own:
            with translate_loss(own, _in_doubt(arguments.stream)):
                if ids is not None:
                    appended = await append_once(own, arguments, ids, read_committed)
                else:
                    appended = await append_alone(own, arguments)
        self._notifier.notify()
        return appended

    @override
    async def read_stream(
        self, stream: str, *, after_version: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        if not is_storable(stream):
            return []
        with use_schema(self.schema):
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
        with use_schema(self.schema):
            rows = await self._pool.fetch(sql("read_log"), after_position, _MAX_POSITION, limit)
        return [RecordedEvent(*row) for row in rows]

    @override
    async def wait_until(
        self,
        position: int,
        projection: str,
        *,
        stream: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Return once a projection has applied the log up to a position: read what was written.

        A rebuilt copy that takes over just then may be a few events behind for a moment.

        Args:
            position: That of the append: `(await store.append(...)).position`.
            projection: Its name.
            stream: The stream that was appended to: then only its own partition is waited for.
            timeout_seconds: How long to wait at most; for a first answer, a tenth of a second at
                least.

        Raises:
            ProjectionError: There is none of that name, it is paused or failed, or the stream, or
                that of the event at the position, is parked: it will not come by itself.
            ReadModelLateError: It did not come in time; it may come later.
            StoreUnavailableError: PostgreSQL cannot be reached.
            UsageError: The time-out is no length of time.
        """
        with use_schema(self.schema):
            await self._waits.wait_until(
                position, projection, stream=stream, timeout_seconds=timeout_seconds
            )

    @override
    def decode(self, record: RecordedEvent) -> object:
        return self._types.decode(record)


def _in_doubt(stream: str) -> str:
    return (
        f"The session ended while events of stream {stream!r} were appended: they may be there or "
        "not. Read the stream, or give `expected_version`, before trying again."
    )
