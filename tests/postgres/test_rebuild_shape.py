"""What a new copy takes over from the old one, and what cannot be copied."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.rebuild.rebuild import drop_old_copy
from tests.postgres.rebuilding import (
    Totals,
    oracle,
    read,
    start,
    until_live,
    until_swapped,
    working,
)
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import Stage, open_stage

SHAPE = """
SELECT
    ARRAY(SELECT concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                           a.attidentity, pg_get_expr(d.adbin, d.adrelid))
          FROM pg_attribute a
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS columns,
    ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid ORDER BY 1)
        AS indexes,
    ARRAY(SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
          WHERE conrelid = c.oid ORDER BY 1) AS constraints,
    c.relacl::text AS grants
FROM pg_class c WHERE c.oid = 'totals'::regclass
"""


PARTITION = (
    "CREATE TABLE parent (LIKE totals) PARTITION BY LIST (stream);"
    "ALTER TABLE parent ATTACH PARTITION totals DEFAULT"
)
TRIGGER = (
    "CREATE TRIGGER told BEFORE UPDATE ON totals FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
)


class Ornate(Totals):
    """Fills a table with everything that a table can have."""

    async def setup(self, connection: Any) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS totals (id bigserial, "
            "number bigint GENERATED ALWAYS AS IDENTITY, stream text, amount bigint NOT NULL, "
            "events bigint NOT NULL DEFAULT 1 CONSTRAINT positive CHECK (events > 0), "
            "twice bigint GENERATED ALWAYS AS (amount * 2) STORED, "
            "CONSTRAINT one_per_stream UNIQUE (stream))"
        )
        await connection.execute(
            "CREATE INDEX IF NOT EXISTS by_amount ON totals (amount) WHERE amount > 10"
        )
        await connection.execute("CREATE INDEX IF NOT EXISTS totals_stream_key1 ON totals (events)")

    async def handle(self, event: Placed, connection: Any, record: Any) -> None:
        await connection.execute(
            "INSERT INTO totals (stream, amount) VALUES ($1, $2) "
            "ON CONFLICT ON CONSTRAINT one_per_stream DO UPDATE "
            "SET amount = totals.amount + excluded.amount, events = totals.events + 1",
            record.stream,
            event.amount,
        )


async def shape(stage: Stage) -> dict[str, Any]:
    return dict(await stage.pool.fetchrow(SHAPE) or {})


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, Totals(), Journal()) as stage:
        yield stage


async def test_new_copy_has_the_shape_of_the_old_one(database: str) -> None:
    async with open_stage(database, Ornate()) as stage:
        await stage.pool.execute("CREATE ROLE reader")
        try:
            await stage.pool.execute("GRANT SELECT ON totals TO reader WITH GRANT OPTION")
            await stage.pool.execute("GRANT INSERT ON totals TO PUBLIC")
            await stage.place("a", 1, 2)
            before = await shape(stage)
            async with working(stage):
                for _ in range(2):
                    await start(stage)
                    await until_swapped(stage)
                    assert await shape(stage) == before
                    async with stage.pool.acquire() as connection:
                        await drop_old_copy(connection, "totals")
                    assert await shape(stage) == before
                await stage.place("b", 3)
                await until_live(stage)
            assert await read(stage) == await oracle(stage)
            # What the worker's next start does; nothing is made twice.
            await stage.register()
            assert await shape(stage) == before
        finally:
            await stage.pool.execute("DROP OWNED BY reader; DROP ROLE reader")


async def test_swap_keeps_the_old_copy_until_it_is_dropped(stage: Stage) -> None:
    await stage.place("a", 1, 2)
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("UPDATE totals SET amount = 1000")
        await start(stage)
        await until_swapped(stage)
    assert await read(stage) == [("a", 3, 2)]
    assert await read(stage, "sidecar_old_totals.totals") == [("a", 1000, 2)]
    async with stage.pool.acquire() as connection:
        await drop_old_copy(connection, "totals")
    assert await read(stage) == [("a", 3, 2)]
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sidecar\\_%'"
    assert await stage.pool.fetchval(schemas) == 0


async def test_dropping_an_old_copy_that_is_not_there_is_told(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        with pytest.raises(ProjectionError, match="no old copy of totals"):
            await drop_old_copy(connection, "totals")


@pytest.mark.parametrize(
    ("obstacle", "sentence"),
    [
        ("CREATE VIEW seen AS SELECT * FROM totals", "is read by views"),
        ("CREATE MATERIALIZED VIEW seen AS SELECT * FROM totals", "is read by views"),
        (TRIGGER, "has triggers"),
        ("CREATE TABLE child (s text REFERENCES totals)", "takes part in foreign keys"),
        ("ALTER TABLE totals ENABLE ROW LEVEL SECURITY", "has row-level security"),
        ("CREATE RULE noted AS ON INSERT TO totals DO ALSO NOTIFY noted", "has rules"),
        ("CREATE TABLE child () INHERITS (totals)", "has tables that inherit from it"),
        (
            "CREATE TABLE parent (LIKE totals); ALTER TABLE totals INHERIT parent",
            "is a partition of another table, or inherits from one",
        ),
        (PARTITION, "is a partition of another table, or inherits from one"),
        ("DROP TABLE totals", "is no plain table"),
        ("ALTER TABLE totals SET SCHEMA sidecar", "is no plain table"),
    ],
)
async def test_table_that_cannot_be_swapped_is_refused(
    stage: Stage, obstacle: str, sentence: str
) -> None:
    await stage.pool.execute(obstacle)
    with pytest.raises(ProjectionError, match=f"'totals' {sentence}") as caught:
        await start(stage)
    assert str(caught.value).endswith(".")
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sidecar\\_%'"
    assert await stage.pool.fetchval(schemas) == 0


async def test_projection_without_tables_is_refused(stage: Stage) -> None:
    with pytest.raises(ProjectionError, match="journal declares no `tables`"):
        await start(stage, "journal")


async def test_unknown_projection_is_refused(stage: Stage) -> None:
    with pytest.raises(ProjectionError, match="There is no projection 'nobody'"):
        await start(stage, "nobody")
