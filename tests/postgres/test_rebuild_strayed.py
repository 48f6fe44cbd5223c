"""Rebuilds whose handler writes beside the new copy: they stop, and the live one is untouched."""

from typing import Any, Final

import pytest

from tests.postgres.rebuilding import (
    Totals,
    fill,
    oracle,
    read,
    rows_of,
    start,
    until_halted,
    until_live,
    until_swapped,
    working,
)
from tests.postgres.shop import Paid, Placed
from tests.postgres.stage import Stage, open_stage

EVENTS: Final = 300


class Qualified(Totals):
    """Names its table with the schema of the live one."""

    async def handle(self, event: Placed, connection: Any, record: Any) -> None:
        await connection.execute(
            "INSERT INTO public.totals AS t VALUES ($1, $2, 1) ON CONFLICT (stream) DO UPDATE "
            "SET amount = t.amount + excluded.amount, events = t.events + 1",
            record.stream,
            event.amount,
        )


class Forgetful(Totals):
    """Keeps a second table, which it does not declare, and writes to it late in the log."""

    handles = (Placed, Paid)  # type: ignore[assignment]

    async def setup(self, connection: Any) -> None:
        await super().setup(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS paid (stream text)")

    async def handle(self, event: Placed | Paid, connection: Any, record: Any) -> None:
        if isinstance(event, Placed):
            await super().handle(event, connection, record)
        else:
            await connection.execute("INSERT INTO paid VALUES ($1)", record.stream)


class Tidy(Totals):
    """Writes to what nobody else can see, and draws a number that nobody misses."""

    async def setup(self, connection: Any) -> None:
        await super().setup(connection)
        await connection.execute("CREATE SEQUENCE IF NOT EXISTS numbers")

    async def handle(self, event: Placed, connection: Any, record: Any) -> None:
        await super().handle(event, connection, record)
        await connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS seen (n bigint)")
        await connection.execute("INSERT INTO seen VALUES (nextval('numbers'))")


async def paid(stage: Stage) -> int:
    return int(await stage.pool.fetchval("SELECT count(*) FROM paid"))


async def test_write_with_the_live_schema_stops_the_rebuild(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database, Qualified()) as stage:
        await fill(stage, EVENTS, streams=10)
        async with working(stage):
            await until_live(stage)
            before = await read(stage)
            await start(stage)
            detail = await until_halted(stage)
            assert await read(stage) == before == await oracle(stage)
            await stage.place("s1", 5)
            await until_live(stage)
            assert await read(stage) == await oracle(stage)
        assert await rows_of(stage) == [{"position": 0, "state": "failed", "detail": detail}]
    assert detail == (
        "the handler wrote to public.totals, beside the new copy, which was rolled back; add what "
        "is missing to `tables` of totals, or write it without its schema"
    )
    [told] = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.rebuild.halted"]
    assert detail in told.getMessage()


async def test_write_to_an_undeclared_table_stops_the_rebuild_until_it_is_declared(
    database: str,
) -> None:
    projection = Forgetful()
    async with open_stage(database, projection) as stage:
        await fill(stage, EVENTS, streams=10)
        async with working(stage):
            await until_live(stage)
            await start(stage)
            await until_swapped(stage)
            # Nothing is known of the second table before the log has something for it.
            await stage.store.append("payment", [Paid("o1")])
            await until_live(stage)
            await start(stage)
            assert "wrote to public.paid," in await until_halted(stage)
            assert await paid(stage) == 1
            before = await read(stage)
    projection.tables = ("totals", "paid")  # type: ignore[misc, assignment]
    async with open_stage(database, projection) as stage, working(stage):
        await start(stage)
        await until_swapped(stage)
        assert await paid(stage) == 1
        assert await read(stage) == before


async def test_temporary_tables_and_sequences_are_no_hindrance(database: str) -> None:
    async with open_stage(database, Tidy()) as stage:
        await fill(stage, EVENTS, streams=10)
        async with working(stage):
            await until_live(stage)
            await start(stage)
            await until_swapped(stage)
        assert await read(stage) == await oracle(stage)
