"""Reading a read model's table where the server's counts leave open what was done to it."""

from typing import Final

import asyncpg

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql

MOST_ROWS: Final = 100_000
"""A table of more rows is not read."""


async def holds_less_than_half(connection: RawConnection, relid: int, rows: int) -> bool:
    """Tell whether a table holds less than half of the rows that it had; False if that is unknown.

    The server's counts do not tell where the session that emptied a table wrote to it at once.
    """
    half = -(-rows // 2)
    count = "SELECT count(*) < {rows} FROM (SELECT FROM {place} LIMIT {rows}) AS t"
    return rows > 0 and await _ask(connection, relid, rows, count.replace("{rows}", str(half)))


async def holds_rows_since(
    connection: RawConnection, relid: int, rows: int, transaction: str
) -> bool:
    """Tell whether a table of so many rows holds one of a transaction or of a later one.

    Rows of a transaction that was rolled back, which the server has counted, are not seen.
    """
    search = (
        "SELECT EXISTS (SELECT FROM {place} WHERE age(xmin) BETWEEN 0 AND age($1::text::xid8::xid))"
    )
    return await _ask(connection, relid, rows, search, transaction)


async def holds_rows_before(connection: RawConnection, relid: int) -> bool:
    """Tell whether a table holds a row of another transaction than the one under way."""
    search = "SELECT EXISTS (SELECT FROM {place} WHERE age(xmin) > age(pg_current_xact_id()::xid))"
    return await _ask(connection, relid, 0, search)


async def _ask(
    connection: RawConnection, relid: int, rows: int, question: str, *values: object
) -> bool:
    """Return the answer; False without the right or the time to read the table."""
    place = await connection.fetchval(sql("place_to_search"), relid)
    if place is None or rows > MOST_ROWS:
        return False
    try:
        # Quoted by PostgreSQL.
        return bool(await connection.fetchval(question.replace("{place}", place), *values))
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError):
        return False
