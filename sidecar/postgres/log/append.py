"""The statement that appends: its arguments, its transaction, its retries and its errors."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cache
from typing import Final, NamedTuple

import asyncpg

from sidecar.errors import (
    ConcurrencyError,
    MigrationError,
    SerializationConflictError,
    SidecarError,
    StoreUnavailableError,
)
from sidecar.events.append_arguments import write_metadata
from sidecar.events.event_id import make_ids
from sidecar.events.event_log import Appended
from sidecar.events.record import ANY
from sidecar.events.types import EventTypes
from sidecar.postgres.codec_aware import fetch_own
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.postgres.schema import current_schema

# A writer without an expected version that loses a race inserts again; each time at least one
# writer wins, so this many losses in a row mean a stream that should not be written like that.
MAX_RACES: Final = 50


class AppendArguments(NamedTuple):
    """Arguments of the append statements, in their order; of many events a column each."""

    stream: str
    expected_version: int | None
    ids: object
    types: object
    schema_versions: int | Sequence[int] | Sequence[str]
    data: object
    headers: str | None

    def insert(self, connection: RawConnection) -> Awaitable[Sequence[asyncpg.Record]]:
        """Run the statement that takes them: of one event it is the cheaper one."""
        if isinstance(self.schema_versions, int):
            return fetch_own(connection, sql("append_one"), *self)
        if getattr(connection, "has_own_codecs", True):
            # Of arrays, only those of text pass by the codecs that the connection's owner has set.
            own = self._replace(schema_versions=[str(each) for each in self.schema_versions])
            return fetch_own(connection, sql("append_many"), *own)
        return connection.fetch(_take_binary(sql("append_many")), *self)


@cache
def _take_binary(append_many: str) -> str:
    """Return the statement for values in binary, which the server reads faster."""
    query = append_many.replace("$3::text[]", "$3::uuid[]")
    return query.replace("$5::text[]", "$5::integer[]")


def encode_arguments(
    types: EventTypes,
    stream: str,
    events: Sequence[object],
    expected_version: int | None,
    ids: Sequence[str] | None,
    metadata: Mapping[str, object] | None,
) -> AppendArguments:
    """Return the arguments that append events, with a new id for each if there are none.

    Raises:
        EventTypeError: An event's class is not registered.
        UsageError: The metadata has no JSON form.
    """
    headers = write_metadata(metadata)
    ids = ids or make_ids(len(events))
    if len(events) == 1:
        return AppendArguments(stream, expected_version, ids[0], *types.encode(events[0]), headers)
    names, versions, data = zip(*map(types.encode, events), strict=True)
    return AppendArguments(stream, expected_version, ids, names, versions, data, headers)


async def append_alone(connection: RawConnection, arguments: AppendArguments) -> Appended:
    """Insert on a connection in no transaction, whatever isolation is the default.

    Raises:
        ConcurrencyError: The stream is at another version, or other writers won every race.
    """
    try:
        # Without a transaction around it: each statement is one by itself.
        return await _retry_on_race(connection, arguments, nullcontext)
    except SerializationConflictError:
        # To set the isolation from the start would cost every append two round trips more.
        return await _retry_on_race(connection, arguments, read_committed)


async def _retry_on_race(
    connection: RawConnection,
    arguments: AppendArguments,
    begin: Callable[[RawConnection], AbstractAsyncContextManager[object]],
) -> Appended:
    """Insert; after a lost race insert again where any version will do."""
    lost_races = 0
    while True:
        try:
            async with begin(connection):
                return await insert(connection, arguments)
        except ConcurrencyError as error:
            if arguments.expected_version is not ANY:
                if error.actual is not None:
                    raise
                async with begin(connection):
                    actual = await _read_version(connection, error.stream)
                raise ConcurrencyError(error.stream, error.expected, actual) from error
            if lost_races == MAX_RACES:
                raise
            lost_races += 1


async def insert(connection: RawConnection, arguments: AppendArguments) -> Appended:
    """Insert the events once, in the transaction that is open on the connection, if one is.

    Raises:
        ConcurrencyError: The stream is at another version, or another writer won a race.
        MigrationError: The database has no event store yet.
        SerializationConflictError: The transaction has to be run again as a whole.
        StoreUnavailableError: There is no room, or the position is taken; nothing was appended.
    """
    stream, expected_version = arguments.stream, arguments.expected_version
    try:
        rows = await arguments.insert(connection)
    except asyncpg.PostgresError as error:
        translated = _translate(error, arguments)
        if translated is None:
            raise
        raise translated from error
    if not rows:
        raise ConcurrencyError(stream, expected_version, await _read_version(connection, stream))
    return Appended(*rows[-1])


def _translate(error: asyncpg.PostgresError, arguments: AppendArguments) -> SidecarError | None:
    """Return what an error of the statement means; None when it has no meaning of its own."""
    if isinstance(error, asyncpg.SerializationError):
        return conflict()
    if isinstance(error, asyncpg.UniqueViolationError):
        if error.constraint_name == "events_pkey":
            return StoreUnavailableError(
                "The event store hands out positions that are taken: its sequence was set back. "
                "Nothing was appended. The sidecar's log and status page give the statement that "
                "sets it right."
            )
        if error.constraint_name == "events_stream_version_key":
            return ConcurrencyError(arguments.stream, arguments.expected_version, None)
    if isinstance(error, asyncpg.UndefinedTableError):
        return MigrationError(
            "The database has no event store yet: run `sidecar migrate`, or start `sidecar serve`, "
            "which applies what is missing outside of production. It was looked for in the schema "
            f"{current_schema()}, which SIDECAR_SCHEMA chooses, here as there."
        )
    # Disk, memory, connections or locks are used up; the same append succeeds once there is room.
    if isinstance(error, asyncpg.InsufficientResourcesError):
        return StoreUnavailableError(
            f"PostgreSQL has no room for the event: SQLSTATE {error.sqlstate}. Look at its disk "
            "and its log; nothing was appended."
        )
    return None


async def _read_version(connection: RawConnection, stream: str) -> int:
    try:
        [row] = await fetch_own(connection, sql("read_stream_version"), stream)
    except asyncpg.SerializationError as error:
        raise conflict() from error
    return int(row[0])


def conflict() -> SerializationConflictError:
    """Make the error of a transaction that cannot be kept."""
    return SerializationConflictError(
        "The transaction conflicts with one that was committed meanwhile; nothing of it can be "
        "kept. Roll it back and run the whole transaction again, from its first read."
    )
