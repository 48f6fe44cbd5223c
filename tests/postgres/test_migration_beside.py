"""A migration of a read model's tables and types beside a running projection costs no event."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from sidecar.events.subscriber import Connection
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session

Handle = Callable[[Placed, Connection], Awaitable[Any]]

TABLE: Final = "CREATE TABLE IF NOT EXISTS kept (amount bigint)"

ADDRESS: Final = (
    "CREATE TYPE address AS (street text); CREATE TABLE kept (amount int, address address)"
)


async def read_all(event: Placed, connection: Connection) -> None:
    await connection.fetch("SELECT * FROM kept")
    await connection.execute("INSERT INTO kept (amount) VALUES ($1)", event.amount)


async def return_all(event: Placed, connection: Connection) -> None:
    await connection.fetchrow("INSERT INTO kept (amount) VALUES ($1) RETURNING *", event.amount)


async def write_address(event: Placed, connection: Connection) -> None:
    address = ("street",) if event.amount < 3 else ("street", "zip")
    await connection.execute("INSERT INTO kept VALUES ($1, $2::address)", event.amount, address)


async def write_and_read_address(event: Placed, connection: Connection) -> None:
    await write_address(event, connection)
    await connection.fetch("SELECT address FROM kept")


async def write_color(event: Placed, connection: Connection) -> None:
    colors = ["red"] if event.amount < 3 else ["blue"]
    await connection.execute("INSERT INTO kept VALUES ($1, $2::color[])", event.amount, colors)
    await connection.fetch("SELECT colors FROM kept")


@pytest.mark.parametrize(
    ("handle", "setup", "migration"),
    [
        (read_all, TABLE, "ALTER TABLE kept ADD COLUMN note text"),
        (read_all, TABLE, "ALTER TABLE kept ALTER amount TYPE numeric"),
        (read_all, TABLE, "ALTER TABLE kept RENAME TO old; CREATE TABLE kept (LIKE old)"),
        (return_all, TABLE, "ALTER TABLE kept ADD COLUMN note text"),
        (return_all, "CREATE TABLE kept (amount bigint, a int)", "ALTER TABLE kept DROP COLUMN a"),
        (write_address, ADDRESS, "ALTER TYPE address ADD ATTRIBUTE zip text"),
        (write_and_read_address, ADDRESS, "ALTER TYPE address ADD ATTRIBUTE zip text"),
        (
            write_color,
            "CREATE TYPE color AS ENUM ('red'); CREATE TABLE kept (amount int, colors color[])",
            "ALTER TYPE color ADD VALUE 'blue'",
        ),
    ],
)
async def test_no_event_is_parked_for_a_migration(
    database: str, handle: Handle, setup: str, migration: str
) -> None:
    class Kept:
        name = "kept"
        handles = (Placed,)

        async def setup(self, connection: Connection) -> None:
            await connection.execute(setup)

        async def handle(self, event: Placed, connection: Connection) -> None:
            await handle(event, connection)

    async with open_stage(database, Kept(), max_connections=3) as stage:
        stage.start()
        for amount in (1, 2):
            await stage.place(f"order-{amount}", amount)
            await stage.settle()
        async with session(database) as connection:
            await connection.execute(migration)
            kept = await connection.fetchval("SELECT count(*) FROM kept")
        for amount in (3, 4, 5):
            await stage.place(f"order-{amount}", amount)
            await stage.settle()
        await stage.stop()
        assert await stage.letters() == []
        assert await stage.pool.fetchval("SELECT count(*) FROM kept") == kept + 3
        assert (
            await stage.pool.fetchval("SELECT max(resolved_at) FROM sidecar.dead_letters") is None
        )
