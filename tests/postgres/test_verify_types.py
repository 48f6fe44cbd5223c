"""Columns and keys of types that compare in ways of their own: no false drift, none missed."""

from typing import Final

import asyncpg
import pytest

from tests.postgres.stage import open_stage, session
from tests.postgres.test_verify_values import Kept, verify

TYPES: Final = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE TYPE size AS (w numeric, h text)",
    "CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0)",
)
# What a build of PostgreSQL, or its extensions, may lack: a statement that fails without it.
OPTIONAL: Final = {
    "citext": "CREATE EXTENSION citext",
    "text COLLATE nocase": "CREATE COLLATION nocase "
    "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "xml": "SELECT xmlelement(name a)",
}
# Type, a value of event $2, and another value.
COLUMNS: Final = (
    ("xml", "xmlelement(name a, $2::int)", "'<a>9</a>'"),
    ("json", "json_build_object('a', $2::int, 'b', 1.50)", '\'{"a" : 1, "b" : 1.5}\''),
    ("numeric(9,3)", "$2::int", "1.001"),
    ("float8", "CASE WHEN $2::int > 0 THEN 'NaN'::float8 END", "'Infinity'"),
    ("bit(4)", "$2::int::bit(4)", "B'1111'"),
    ("varbit", "$2::int::bit(8)::varbit", "B'1'"),
    ("int4range", "int4range($2::int, 9)", "'empty'"),
    ("int4multirange", "int4multirange(int4range($2::int, 9))", "'{}'"),
    ("tstzrange", "tstzrange(to_timestamp($2::int), NULL)", "'(,)'"),
    ("text[]", "ARRAY[NULL, $2::int::text]", "'[0:1]={NULL,1}'"),
    ("numeric[]", "ARRAY[$2::numeric]", "ARRAY[7]"),
    ("size", "ROW($2::numeric, 'x')::size", "ROW(1, 'X')"),
    ("size[]", "ARRAY[ROW($2::numeric, 'x')::size]", "ARRAY[ROW(1, NULL)::size]"),
    ("cents", "$2::int", "7"),
    ("mood", "CASE WHEN $2::int > 0 THEN 'ok'::mood END", "'sad'"),
    ("text COLLATE nocase", "'Ada' || $2::int", "'ADA1'"),
    ("char(5)", "$2::int::text", "'b'"),
    ("bytea", "int4send($2::int)", "'\\x00000001ff'"),
    ("inet", "'10.0.0.1'::inet + $2::int", "'10.0.0.2/31'"),
    ("macaddr", "CASE WHEN $2::int > 0 THEN macaddr '08:00:2b:01:02:03' END", "NULL"),
    ("timetz", "CASE WHEN $2::int > 0 THEN timetz '12:00+00' END", "'13:00+01'"),
    ("money", "$2::int::money", "'9'"),
    ("tsvector", "to_tsvector('simple', 'a b' || $2::int)", "'a'"),
    ("jsonpath", "CASE WHEN $2::int > 0 THEN jsonpath '$.a' END", "'$.b'"),
    ("citext", "'Ada' || $2::int", "'ADA1'"),
)


async def prepare(database: str) -> set[str]:
    """Make the types; return those that this server has not."""
    missing = set()
    async with session(database) as connection:
        for statement in TYPES:
            await connection.execute(statement)
        for kind, statement in OPTIONAL.items():
            try:
                await connection.execute(statement)
            except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError):
                missing.add(kind)
    return missing


async def test_a_value_of_each_type_is_compared_as_it_is_stored(database: str) -> None:
    missing = await prepare(database)
    kinds = [column for column in COLUMNS if column[0] not in missing]
    kept = Kept("n int", "")
    names = [f"c{number}" for number in range(len(kinds))]
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in zip(names, kinds, strict=True))
    kept._table = (
        f"CREATE TABLE IF NOT EXISTS kept (id text PRIMARY KEY, {columns}, n bigint, "
        "twice bigint GENERATED ALWAYS AS (n * 2) STORED, line int GENERATED ALWAYS AS IDENTITY)"
    )
    values = ", ".join(value for _, value, _ in kinds)
    kept._insert = f"INSERT INTO kept (id, {', '.join(names)}, n) VALUES ($1, {values}, $2::int)"  # type: ignore[misc]
    changes = [
        # Of every row another column, whose value the event with amount 1 or its like has made.
        f"UPDATE kept SET {name} = {change} WHERE id = 's{number}-1'"
        for number, (name, (_, _, change)) in enumerate(zip(names, kinds, strict=True))
    ]
    async with open_stage(database, kept) as stage:
        for number in range(len(kinds) + 1):
            await stage.place(f"s{number}", 1)
        report = await verify(stage, *changes)
    (table,) = report.tables
    assert {d.key: (str(d.kind), d.columns) for d in table.differences} == {
        (f"s{number}-1",): ("different", (name,)) for number, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("text COLLATE nocase", ("'B'", "'a'", "'C'")),
        ("numeric", ("1.50", "-0.1", "'NaN'")),
        ("float8", ("'-0'::float8", "0.1::float8 + 0.2", "'NaN'")),
        ("bytea", ("'\\xff'", "'\\x'", "'\\x00'")),
        ("mood", ("'ok'", "'sad'", "NULL")),
        ("size", ("ROW(1.0, 'x')::size", "ROW(1, 'X')::size", "ROW(NULL, 'x')::size")),
        ("int4range", ("'[1,5)'", "'empty'", "'(,)'")),
        ("bit(3)", ("B'101'", "B'010'", "B'111'")),
        ("text[]", ("ARRAY['b', NULL]", "ARRAY['a,b']", "ARRAY[]::text[]")),
        ("jsonb", ("'{\"a\": 1.0}'", "'[]'", "'null'")),
        ("citext", ("'B'", "'a'", "'C'")),
    ],
)
async def test_rows_are_paired_by_a_key_of_any_type(
    database: str, monkeypatch: pytest.MonkeyPatch, kind: str, keys: tuple[str, ...]
) -> None:
    # So that each row is a part of its own, and each key a bound.
    monkeypatch.setattr("sidecar.postgres.tables.table_comparison.FIRST_ROWS", 1)
    monkeypatch.setattr("sidecar.postgres.tables.table_comparison.LONG_SECONDS", 60.0)
    monkeypatch.setattr("sidecar.postgres.tables.table_comparison.SHORT_SECONDS", 0.0)
    if kind in await prepare(database):
        pytest.skip(f"the server has no {kind}")
    kept = Kept("v int", "")
    key = "UNIQUE" if "NULL" in keys else "PRIMARY KEY"
    kept._table = f"CREATE TABLE IF NOT EXISTS kept (id {kind} {key}, v int)"
    cast = kind.partition(" COLLATE")[0]
    choices = " ".join(f"WHEN {number} THEN ({one})::{cast}" for number, one in enumerate(keys, 1))
    kept._insert = (  # type: ignore[misc]
        f"INSERT INTO kept (id, v) SELECT CASE $2::int {choices} END, $2::int WHERE $1 <> ''"
    )
    async with open_stage(database, kept) as stage:
        await stage.place("a", 1, 2, 3)
        report = await verify(stage, "UPDATE kept SET v = 9 WHERE v = 2")
    (table,) = report.tables
    found = [(str(d.kind), d.columns) for d in table.differences]
    whole = [("extra", ()), ("missing", ())]
    assert found == [("different", ("v",))] or (not table.key and sorted(found) == whole), table
