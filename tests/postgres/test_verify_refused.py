"""What cannot be verified is said in one sentence, with what to do."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.verify.verification import Verification
from tests.postgres import rebuilding, verifying
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session


class Elsewhere:
    """Writes down positions in tables of other schemas, which it names with them."""

    handles = (Placed,)
    name = "elsewhere"

    def __init__(self, *tables: str) -> None:
        self.tables: Final = tables

    async def setup(self, connection: Connection) -> None:
        for table in self.tables:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.partition('.')[0]}")
            await connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (id bigint PRIMARY KEY)")

    async def handle(self, _event: Placed, connection: Connection, record: RecordedEvent) -> None:
        for table in self.tables:
            await connection.execute(f"INSERT INTO {table} VALUES ($1)", record.position)


async def verify(database: str, *tables: str) -> Verification:
    async with open_stage(database, Elsewhere(*tables)) as stage:
        await stage.place("a", 1, 2)
        async with verifying.working(stage):
            await rebuilding.until_live(stage, "elsewhere")
            found = await verifying.verify(stage, "elsewhere")
        assert await stage.pool.fetchval(f"SELECT count(*) FROM {tables[0]}") == 2
    return found


async def test_tables_of_one_name_in_two_schemas(database: str) -> None:
    found = await verify(database, "one.lines", "two.lines")
    assert found.state == "failed"
    assert "'one.lines' and 'two.lines' have one name in two schemas" in str(found.detail)


async def test_a_handler_that_names_the_live_table_with_its_schema(database: str) -> None:
    found = await verify(database, "one.lines")
    assert found.state == "failed"
    assert "names a table with its schema writes to the live one" in str(found.detail)


@pytest.mark.parametrize(
    ("obstacle", "said"),
    [
        ("CREATE TABLE part () INHERITS (totals)", "has tables that inherit from it"),
        ("CREATE RULE noted AS ON INSERT TO totals DO ALSO NOTIFY noted", "has rules"),
    ],
)
async def test_what_a_copy_would_not_do_as_the_table_does(
    database: str, obstacle: str, said: str
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            await stage.pool.execute(obstacle)
            found = await verifying.verify(stage)
    assert found.state == "failed"
    assert f"'totals' {said}" in str(found.detail)


@asynccontextmanager
async def weak_role(database: str) -> AsyncIterator[str]:
    """Lend the database to a role that may not create schemas."""
    role = f"weak_{database.rpartition('_')[2][:8]}"
    role = re.sub(r"\W.*", "", role)
    async with session(database) as connection:
        await connection.execute(
            f"CREATE ROLE {role} LOGIN; ALTER TABLE totals OWNER TO {role};"
            f"GRANT USAGE ON SCHEMA sidecar TO {role};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA sidecar TO {role};"
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA sidecar TO {role};"
            f"GRANT USAGE, CREATE ON SCHEMA public TO {role}"
        )
        try:
            yield database.replace("//postgres@", f"//{role}@")
        finally:
            await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_role_that_may_not_create_schemas_is_told_the_grant(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 20, 5)
        await stage.catch_up()
        async with (
            weak_role(database) as dsn,
            open_stage(dsn, Totals()) as other,
            verifying.working(other),
        ):
            found = await verifying.verify(other)
    assert found.state == "failed"
    assert "GRANT CREATE ON DATABASE" in str(found.detail)


async def test_a_role_that_may_not_read_a_table_is_told_which(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 20, 5)
        await stage.catch_up()
        async with weak_role(database) as dsn:
            role = dsn.partition("//")[2].partition("@")[0]
            name = await stage.pool.fetchval("SELECT current_database()")
            await stage.pool.execute(
                f"ALTER TABLE totals OWNER TO postgres; GRANT INSERT, UPDATE ON totals TO {role};"
                f"GRANT CREATE ON DATABASE {name} TO {role}"
            )
            async with open_stage(dsn, Totals()) as other, verifying.working(other):
                found = await verifying.verify(other)
    assert found.state == "failed"
    assert "permission denied for table totals; let the owner GRANT that" in str(found.detail)
