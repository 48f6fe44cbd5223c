"""A schema for each service: statements, leases, copies and notifications are its own."""

import ast
import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

import sidecar
from sidecar.errors import MigrationError, UsageError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.migration import find_unsafe_sequence, migrate, pending
from sidecar.postgres.query import sql, statements
from sidecar.postgres.rights import list_missing
from sidecar.postgres.schema import choose_schema, events_channel, use_schema
from sidecar.postgres.tables.copies import new_schema, old_schema, verify_schema
from tests.postgres.stage import session

_TABLE: Final = re.compile(r"\bsidecar\.(events|checkpoints|dead_letters|[a-z]+_[a-z]+s)\b(?![.:])")


def test_statements_of_another_schema_never_name_the_default_one() -> None:
    for name, text in statements("billing-api").items():
        assert not re.search(r"\bsidecar\b", text), name
    assert '"billing-api".events' in statements("billing-api")["read_log"]
    assert "sidecar.events" in statements()["read_log"]


def test_locks_copies_and_channels_of_two_schemas_are_apart() -> None:
    seen = []
    for schema in ("sidecar", "billing", "Billing", "a" * 40):
        with use_schema(schema):
            names = [each("x" * 60) for each in (new_schema, old_schema, verify_schema)]
            assert all(len(name.encode()) <= 63 for name in names)
            seen += [*names, sql("try_lease"), sql("lock_setup"), events_channel()]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    "name",
    [
        *("public", "pg_catalog", "information_schema", "sidecar_new_orders", "sidecar_step"),
        *("a" * 41, "1st", "a b", 'a"; DROP SCHEMA x', "a'b", "a%sb", "ä", "a\n", "-a", "a.b"),
    ],
)
def test_a_schema_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a schema of the sidecar's own"):
        choose_schema(name)


def test_an_application_uses_the_schema_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_schema(None) == "sidecar"
    monkeypatch.setenv("SIDECAR_SCHEMA", "billing")
    assert choose_schema(None) == "billing"
    assert choose_schema("shipping") == "shipping"
    monkeypatch.setenv("SIDECAR_SCHEMA", "public")
    with pytest.raises(UsageError, match=r"^SIDECAR_SCHEMA is not a name"):
        choose_schema(None)


@pytest.mark.parametrize("schema", ["billing", "select", "Billing-API"])
async def test_a_schema_of_any_name_is_migrated_and_asked(empty_database: str, schema: str) -> None:
    async with session(empty_database) as connection:
        with use_schema(schema):
            assert await migrate(connection)
            assert not await pending(connection)
            assert not await list_missing(connection, for_migrating=True)
            await _prepare_all(connection, schema)
            assert await find_unsafe_sequence(connection) == ""
        assert await connection.fetchval("SELECT to_regnamespace('sidecar')") is None
        held = "SELECT array_agg(nspname::text) FROM pg_namespace WHERE nspname !~ '^(pg_|inf|pub)'"
        assert await connection.fetchval(held) == [schema]


async def _prepare_all(connection: RawConnection, schema: str) -> None:
    """Have the server look up what each single statement names."""
    for text in statements(schema).values():
        if "{shadow}" not in text and ";" not in text:
            await connection.prepare(text)


async def test_two_schemas_are_migrated_at_once(empty_database: str) -> None:
    async def migrate_one(schema: str) -> int:
        with use_schema(schema):
            async with session(empty_database) as connection:
                return len(await migrate(connection))

    done = await asyncio.gather(*map(migrate_one, ("sidecar", "billing", "shipping")))
    assert len(set(done)) == 1
    assert done[0] > 0


@pytest.mark.parametrize(
    "ddl", ["CREATE TABLE app.events (id int)", "CREATE TABLE app.migrations (id int, name text)"]
)
async def test_a_schema_with_tables_of_others_is_left_alone(empty_database: str, ddl: str) -> None:
    async with session(empty_database) as connection:
        await connection.execute("CREATE SCHEMA app")
        await connection.execute(ddl)
        with use_schema("app"), pytest.raises(MigrationError, match="app is not the sidecar's"):
            await migrate(connection)
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace"
        assert await connection.fetchval(tables) == 1


async def test_an_empty_schema_is_taken(empty_database: str) -> None:
    async with session(empty_database) as connection:
        await connection.execute("CREATE SCHEMA app")
        with use_schema("app"):
            assert await migrate(connection)


async def test_a_lease_of_one_schema_is_free_in_another(database: str) -> None:
    async with AsyncExitStack() as stack:
        for schema in ("sidecar", "billing"):
            connection = await stack.enter_async_context(session(database))
            with use_schema(schema):
                assert await connection.fetchval(sql("try_lease"), 7)
                rows = await connection.fetch(sql("list_leases"))
                assert [row["pid"] for row in rows] == [connection.get_server_pid()]


def test_sql_beside_the_files_is_qualified_too() -> None:
    for path in Path(sidecar.__file__).parent.rglob("*.py"):
        text = path.read_text("utf-8")
        strings = (
            each.value for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Constant)
        )
        named = [each for each in strings if _TABLE.search(str(each)) and " " in str(each)]
        assert not named or "qualify" in text, path
