"""Appending events under ids that their writer chose: once, however often it is tried."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import asyncpg

from sidecar.errors import ConcurrencyError
from sidecar.events.append_arguments import require_same
from sidecar.events.event_log import Appended
from sidecar.events.record import ANY
from sidecar.postgres.codec_aware import fetch_own
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.append import MAX_RACES, AppendArguments, conflict, insert
from sidecar.postgres.query import sql

_IDS_KEY: Final = "append_ids_pkey"


def begin_savepoint(connection: RawConnection) -> AbstractAsyncContextManager[object]:
    """Begin a savepoint in the transaction that is open."""
    return connection.transaction()


async def append_once(
    connection: RawConnection,
    arguments: AppendArguments,
    ids: Sequence[str],
    begin: Callable[[RawConnection], AbstractAsyncContextManager[object]],
) -> Appended:
    """Insert events, or return where they went before.

    Args:
        connection: In a transaction that the events are to join, or in none.
        arguments: What to append, with these ids.
        ids: Of the events, as hexadecimal digits.
        begin: Begins a transaction or a savepoint.

    Raises:
        ConcurrencyError: The stream is at another version, or other writers won every race.
        SerializationConflictError: The transaction cannot see that another try was faster.
        UsageError: Some of the ids are those of other events.
    """
    for _ in range(MAX_RACES):
        before = await _find(connection, arguments, ids)
        appended = before or await _try(connection, arguments, ids, begin)
        if appended is not None:
            return appended
    raise ConcurrencyError(arguments.stream, arguments.expected_version, None)


async def _try(
    connection: RawConnection,
    arguments: AppendArguments,
    ids: Sequence[str],
    begin: Callable[[RawConnection], AbstractAsyncContextManager[object]],
) -> Appended | None:
    """Insert the events and keep their ids; return None when a race was lost."""
    try:
        async with begin(connection):
            appended = await insert(connection, arguments)
            first = appended.version - len(ids)
            kept = sql("keep_append_ids")
            await fetch_own(connection, kept, list(ids), arguments.stream, first)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != _IDS_KEY:
            raise
        # Another try of the same append was faster, and has been committed.
        known = await _find(connection, arguments, ids)
        if known is None:
            # A transaction that is stricter than read committed never sees it.
            raise conflict() from error
        return known
    except ConcurrencyError:
        known = await _find(connection, arguments, ids)
        if known is None and arguments.expected_version is not ANY:
            raise
        return known
    return appended


async def _find(
    connection: RawConnection, arguments: AppendArguments, ids: Sequence[str]
) -> Appended | None:
    rows = await fetch_own(connection, sql("find_append_ids"), list(ids))
    require_same(arguments.stream, ids, [row["stream"] for row in rows])
    return Appended(rows[-1]["version"], rows[-1]["position"]) if rows else None
