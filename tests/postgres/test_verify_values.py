"""What is compared of a row, and what two equal read models may differ in."""

import random
import re
from typing import Any, Final

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.tables import table_comparison
from sidecar.projections.comparison import Kind, Report
from tests.postgres import rebuilding, verifying
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

ROWS: Final = 400


class Kept:
    """Keeps one row an event in a table of any shape.

    Args:
        columns: Of the table, besides its key `id`.
        values: SQL for them; `$2` is the amount.
        key: How `id` is declared.
    """

    handles = (Placed,)
    name = "kept"
    tables = ("kept",)

    def __init__(self, columns: str, values: str, key: str = "text PRIMARY KEY") -> None:
        self._table = f"CREATE TABLE IF NOT EXISTS kept (id {key}, {columns})"
        names = ", ".join(part.split()[0] for part in columns.split(", ") if "DEFAULT" not in part)
        self._insert: Final = f"INSERT INTO kept (id, {names}) VALUES ($1, {values})"

    async def setup(self, connection: Connection) -> None:
        await connection.execute(self._table)

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute(self._insert, f"{record.stream}-{record.version}", event.amount)


async def verify(stage: Stage, *statements: str) -> Report:
    """Apply all, change the read model, and verify it."""
    async with verifying.working(stage):
        await rebuilding.until_live(stage, "kept")
        for statement in statements:
            await stage.pool.execute(statement)
        found = await verifying.verify(stage, "kept")
    assert found.state in {"equal", "drifted"}, found.detail
    assert found.report is not None
    return found.report


@pytest.mark.parametrize(
    ("column", "value", "change"),
    [
        ("json", "json_build_object('n', $2::int)", """'{"n": 999}'"""),
        ("jsonb", "jsonb_build_object('n', $2::int)", """'{"n": 999}'"""),
        ("point", "point($2::float8, 0)", "point(999, 0)"),
        ("box", "box(point(0, 0), point(2, $2::float8 + 2))", "box(point(0, 0), point(4, 1))"),
        ("circle", "circle(point(0, 0), $2::float8 + 1)", "circle(point(9, 0), 1)"),
        ("path", "'((0,0),(1,1))'::path || ($2::int * 0)::text", "path '((0,0),(1,2))'"),
        ("bytea", "int4send($2::int)", "'\\x00'"),
        ("int[]", "ARRAY[$2::int]", "ARRAY[999]"),
        ("interval", "make_interval(secs => $2::int)", "'1 year'"),
        ("uuid", "lpad($2::int::text, 32, '0')::uuid", "'ffffffffffffffffffffffffffffffff'"),
        ("timestamptz", "to_timestamp($2::int)", "'infinity'"),
        ("text", "CASE WHEN $2::int > 1 THEN 'x' END", "'y'"),
        ("text", "$2::int::text", "NULL"),
        ("float8", "$2::int", "'NaN'"),
        ("numeric", "$2::int", "999.5"),
    ],
)
async def test_a_changed_value_of_any_type_is_found(
    database: str, column: str, value: str, change: str
) -> None:
    if column == "path":
        value = "CASE WHEN $2::int IS NULL THEN NULL ELSE path '((0,0),(1,1))' END"
    async with open_stage(database, Kept(f"v {column}", value)) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage, f"UPDATE kept SET v = {change} WHERE id = 'a-1'")
    (table,) = report.tables
    assert [(str(d.kind), d.key, d.columns) for d in table.differences] == [
        ("different", ("a-1",), ("v",))
    ]


@pytest.mark.parametrize(
    ("column", "value", "change"),
    [
        ("numeric", "$2::int", "v + 0.00"),
        ("float8", "CASE WHEN $2::int > 0 THEN 0 END", "'-0'"),
        ("interval", "make_interval(days => 30)", "'1 mon'"),
        ("jsonb", "'{\"n\": 1.0}'::jsonb", """'{"n": 1.00}'"""),
    ],
)
async def test_an_equal_value_in_another_form_is_counted_apart(
    database: str, column: str, value: str, change: str
) -> None:
    if "$2" not in value:
        value = f"CASE WHEN $2::int > 0 THEN {value} END"
    async with open_stage(database, Kept(f"v {column}", value)) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage, f"UPDATE kept SET v = {change} WHERE id = 'a-1'")
    assert report.tables[0].counts == {"other_form": 1}
    assert report.drift_rows == 0


async def test_the_last_digits_of_a_floating_point_sum_are_rounding(database: str) -> None:
    async with open_stage(database, Kept("v float8", "$2::float8 / 10")) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(
            stage,
            "UPDATE kept SET v = v + 2e-17 WHERE id = 'a-1'",
            "UPDATE kept SET v = v * (1 + 1e-14) WHERE id = 'a-2'",
            "UPDATE kept SET v = v * (1 + 1e-6) WHERE id = 'a-3'",
        )
    assert report.tables[0].counts[Kind.DIFFERENT] == 1
    assert report.tables[0].counts[Kind.ROUNDING] >= 1


async def test_a_default_that_is_no_constant_is_left_out_and_said(database: str) -> None:
    columns = "v int, at timestamptz DEFAULT now(), tag uuid DEFAULT gen_random_uuid()"
    async with open_stage(database, Kept(columns, "$2::int")) as stage:
        await stage.place("a", *range(1, 20))
        report = await verify(stage, "UPDATE kept SET v = 99 WHERE id = 'a-4'")
    (table,) = report.tables
    assert table.left_out.keys() == {"at", "tag"}
    assert [d.key for d in table.differences] == [("a-4",)]


async def test_a_default_of_a_domain_or_of_an_old_dump_is_left_out_too(database: str) -> None:
    columns = "v int, tag tagged, at date DEFAULT ('now'::text)::date, d tagged DEFAULT NULL"
    kept = Kept("v int", "$2::int")
    kept._table = (
        "DO $$ BEGIN CREATE DOMAIN tagged AS uuid DEFAULT gen_random_uuid();"
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        f"CREATE TABLE IF NOT EXISTS kept (id text PRIMARY KEY, {columns})"
    )
    async with open_stage(database, kept) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage)
    assert report.tables[0].left_out.keys() == {"tag", "at"}
    assert report.drift_rows == 0


async def test_rounding_is_seen_in_each_kind_of_floating_point_column(database: str) -> None:
    columns = "v real, w weight, x float8[], y real"
    kept = Kept(columns, "$2::real / 3, $2::float8 / 3, ARRAY[1, $2::float8 / 3], $2::real / 3")
    kept._table = (
        "DO $$ BEGIN CREATE DOMAIN weight AS float8;"
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        f"CREATE TABLE IF NOT EXISTS kept (id text PRIMARY KEY, {columns})"
    )
    async with open_stage(database, kept) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(
            stage,
            "UPDATE kept SET v = v * 1.0000002, w = w * (1 + 1e-14::float8),"
            "x[2] = x[2] * (1 + 1e-14::float8) WHERE id = 'a-1'",
            "UPDATE kept SET x = x || 0.0 WHERE id = 'a-2'",
            "UPDATE kept SET y = y * 1.001 WHERE id = 'a-3'",
        )
    (table,) = report.tables
    assert {(str(d.kind), d.key, d.columns) for d in table.differences} == {
        ("rounding", ("a-1",), ("v", "w", "x")),
        ("different", ("a-2",), ("x",)),
        ("different", ("a-3",), ("y",)),
    }


async def test_digits_that_a_role_does_not_show_are_compared(database: str) -> None:
    shown = "ALTER ROLE postgres IN DATABASE {} SET extra_float_digits = -14".format(
        re.sub(r".*/(\w+)\?.*", r"\1", database)
    )
    async with session(database) as connection:
        await connection.execute(shown)
    async with open_stage(database, Kept("v float8", "$2::int")) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage, "UPDATE kept SET v = 1.2 WHERE id = 'a-1'")
    assert report.tables[0].counts == {Kind.DIFFERENT: 1}


async def test_rows_of_a_table_whose_only_key_is_a_serial_are_counted_whole(database: str) -> None:
    columns = "v int, n serial PRIMARY KEY"
    kept = Kept("v int", "$2::int", key="text")
    kept._table = f"CREATE TABLE IF NOT EXISTS kept (id text, {columns})"
    async with open_stage(database, kept) as stage:
        await stage.place("a", 1, 2, 3)
        await stage.place("b", 1)
        report = await verify(
            stage,
            "INSERT INTO kept (id, v) VALUES ('a-1', 1), ('a-1', 1)",
            "DELETE FROM kept WHERE id = 'b-1'",
        )
    (table,) = report.tables
    assert table.key == ()
    assert table.left_out.keys() == {"n"}
    assert {(str(d.kind), d.key, d.rows) for d in table.differences} == {
        ("extra", ("(a-1,1)",), 2),
        ("missing", ("(b-1,1)",), 1),
    }


async def test_a_column_that_differs_in_every_row_is_named(database: str) -> None:
    async with open_stage(
        database, Kept("v int, at timestamptz", "$2::int, clock_timestamp()")
    ) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage)
        assert report.tables[0].unsteady_columns == ("at",)
        async with verifying.working(stage):
            found = await verifying.verify(stage, "kept", "at")
        assert found.state == "equal"


@pytest.mark.parametrize("seed", range(4))
async def test_each_of_many_corruptions_is_found_with_its_key(database: str, seed: int) -> None:
    chance = random.Random(seed)
    async with open_stage(database, Kept("v int, w text", "$2::int, 'w'")) as stage:
        for number in range(ROWS // 20):
            await stage.place(f"s{number}", *range(1, 21))
        wrong: dict[str, str] = {}
        statements = []
        keys = [f"s{n}-{m}" for n in range(ROWS // 20) for m in range(1, 21)]
        for number, key in enumerate(chance.sample(keys, 50)):
            kind = chance.choice(["changed", "nulled", "lost", "added"])
            if kind == "changed":
                wrong[key] = "different"
                statements.append(f"UPDATE kept SET v = v + 100 WHERE id = '{key}'")
            elif kind == "nulled":
                wrong[key] = "different"
                statements.append(f"UPDATE kept SET w = NULL WHERE id = '{key}'")
            elif kind == "lost":
                wrong[key] = "missing"
                statements.append(f"DELETE FROM kept WHERE id = '{key}'")
            else:
                wrong[f"ghost-{number}"] = "extra"
                statements.append(f"INSERT INTO kept VALUES ('ghost-{number}', 1, 'w')")
        report = await verify(stage, *statements)
    found: dict[Any, str] = {d.key[0]: str(d.kind) for d in report.tables[0].differences}
    assert found == wrong


async def test_of_very_many_rows_without_a_key_all_are_counted_and_few_are_kept(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_comparison, "MAX_DIFFERENCES", 20)
    kept = Kept("v int", "$2::int", key="text")
    async with open_stage(database, kept) as stage:
        await stage.place("a", *range(1, 31))
        report = await verify(
            stage,
            "DELETE FROM kept",
            "INSERT INTO kept SELECT 'ghost', n % 50 FROM generate_series(0, 99) n",
            "INSERT INTO kept SELECT repeat('long', 5000), 1",
        )
    (table,) = report.tables
    assert table.counts == {"extra": 101, "missing": 30}
    assert len(table.differences) == 20
    assert report.drift_rows == 131


async def test_other_tables_that_a_handler_reads_are_named(database: str) -> None:
    kept = Kept("v int", "$2::int * (SELECT factor FROM rates)")
    kept._table += "; CREATE TABLE IF NOT EXISTS rates AS SELECT 1 AS factor"
    async with open_stage(database, kept) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage, "UPDATE rates SET factor = 2")
    assert (report.reads, report.drift_rows) == (("rates",), 3)


async def test_what_differs_in_how_it_is_stored_alone_is_no_difference(database: str) -> None:
    columns = (
        "v jsonb, n int GENERATED ALWAYS AS IDENTITY, by text DEFAULT CURRENT_USER, "
        "at date DEFAULT CURRENT_DATE, twice text GENERATED ALWAYS AS (id || id) STORED"
    )
    kept = Kept("v jsonb", """jsonb_build_object('n', $2::int, 'text', repeat('x', 5000))""")
    kept._table = f"CREATE TABLE IF NOT EXISTS kept (id text PRIMARY KEY, {columns})"
    async with open_stage(database, kept) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(
            stage,
            "ALTER TABLE kept ADD COLUMN fast int DEFAULT 7",
            "ALTER TABLE kept ADD COLUMN gone int DEFAULT 8",
            "ALTER TABLE kept DROP COLUMN gone",
            "ALTER TABLE kept ALTER v SET STORAGE EXTERNAL",
            """UPDATE kept SET v = '{"text": 1}'::jsonb || v""",
        )
    (table,) = report.tables
    assert (table.counts, table.rows) == ({}, 3)
    assert table.left_out.keys() == {"n", "by", "at"}
