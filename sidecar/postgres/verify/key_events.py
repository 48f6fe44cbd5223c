"""From a wrong row to the events that may have made it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import msgspec

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.projections.comparison import DRIFT, KeyEvents, Kind, Report, TableReport

SEARCH_TIMEOUT: Final = "5s"
MAX_POSITIONS: Final = 10


async def add_key_events(connection: RawConnection, report: Report) -> Report:
    """Return the report with the events of one wrong row of each table, as far as they are found.

    Args:
        connection: In a transaction.
        report: What was found.
    """
    for table in report.tables:
        found: Sequence[KeyEvents] = ()
        # The log may be long, and this is a hint.
        with suppress(asyncpg.QueryCanceledError):
            async with connection.transaction():
                await connection.execute(f"SET LOCAL statement_timeout = '{SEARCH_TIMEOUT}'")
                found = await _find(connection, table, report.upto_position)
                await connection.execute("SET LOCAL statement_timeout = DEFAULT")
        report = report.with_table(msgspec.structs.replace(table, events=tuple(found)))
    return report


async def _find(
    connection: RawConnection, table: TableReport, upto_position: int
) -> Sequence[KeyEvents]:
    # Of a row that is there without events none are found.
    wrong = sorted(
        (each for each in table.differences if each.kind in DRIFT),
        key=lambda each: each.kind is Kind.EXTRA,
    )
    if not wrong or not table.key:
        return ()
    key = wrong[0].key
    values = [value for value in key if value]
    place = (values, upto_position, MAX_POSITIONS)
    named = await connection.fetch(sql("find_streams_of_key"), *place)
    rows = named or await connection.fetch(sql("find_events_with_key"), *place)
    return [
        KeyEvents(
            key=key,
            stream=row["stream"],
            first_version=row["first_version"],
            last_version=row["last_version"],
            positions=tuple(sorted(row["positions"])),
            is_named=bool(named),
        )
        for row in rows
    ]
