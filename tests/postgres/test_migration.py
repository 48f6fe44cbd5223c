import asyncio
from dataclasses import replace

import pytest

from sidecar.errors import MigrationError
from sidecar.postgres import migration
from sidecar.postgres.migration import Migration, load_migrations, migrate, pending
from sidecar.postgres.query import sql, statements
from sidecar.postgres.tables.shadow import Shadow
from tests.postgres.eventually import eventually
from tests.postgres.stage import fetchval, session

KEEP_LETTER = """
    INSERT INTO sidecar.dead_letters (
        projection, stream, version, event_id, event_type, category, error_type, error_message,
        traceback, attempts
    ) VALUES ('totals', 'order-1', 1, gen_random_uuid(), 'Placed', 'push', 'KeyError', '', '', 1)
"""
BUILDS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'
"""
CUT_OFF = BUILDS.replace("count(*)", "pg_cancel_backend(pid)")
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


async def test_migrations_are_applied_once(empty_database: str) -> None:
    async with session(empty_database) as connection:
        assert await pending(connection) == load_migrations()
        assert await migrate(connection) == list(load_migrations())
        assert await migrate(connection) == []
        assert await pending(connection) == []


async def test_of_many_processes_one_applies(empty_database: str) -> None:
    async def run() -> int:
        async with session(empty_database) as connection:
            return len(await migrate(connection))

    applied = await asyncio.gather(*(run() for _ in range(6)))
    assert sorted(applied) == [0] * 5 + [len(load_migrations())]


async def test_schema_of_a_newer_release_is_refused(database: str) -> None:
    async with session(database) as connection:
        await connection.execute(sql("record_migration"), 999, "0999_future")
        with pytest.raises(MigrationError, match="999"):
            await migrate(connection)


async def test_failed_migration_changes_nothing(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (
        *load_migrations(),
        Migration(len(load_migrations()) + 1, "broken", "CREATE TABLE sidecar.x (); SELECT 1 / 0"),
    )
    monkeypatch.setattr(migration, "load_migrations", lambda: steps)
    async with session(empty_database) as connection:
        with pytest.raises(MigrationError, match=r"broken .*22012"):
            await migrate(connection)
        assert await connection.fetchval("SELECT to_regnamespace('sidecar')") is None


async def test_an_index_is_built_beside_writers_and_anew_after_a_cut(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = load_migrations()
    build = next(step for step in steps if step.is_concurrent)
    script = build.script.replace("dead_letters_open_idx", "again_open_idx")
    again = replace(build, number=steps[-1].number + 1, name="again", script=script)
    async with session(empty_database) as connection, session(empty_database) as writer:
        await migrate(connection)
        monkeypatch.setattr(migration, "load_migrations", lambda: (*steps, again))
        async with writer.transaction():
            await writer.execute(KEEP_LETTER)
            building = asyncio.create_task(migrate(connection))

            async def waits() -> bool:
                return bool(await fetchval(empty_database, BUILDS))

            await eventually(waits)
            # Nobody queues behind the build, which waits for this transaction.
            await asyncio.wait_for(fetchval(empty_database, KEEP_LETTER), 5.0)
            await fetchval(empty_database, CUT_OFF)
            with pytest.raises(MigrationError, match="begun anew"):
                await building
        assert await connection.fetchval(INVALID) == 1
        assert await migrate(connection) == [again]
        assert await connection.fetchval(INVALID) == 0


def test_migrations_are_numbered_without_holes() -> None:
    numbers = [step.number for step in load_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_sequence_hands_out_one_position_at_a_time(database: str) -> None:
    assert await fetchval(database, sql("read_sequence")) == 1


async def test_every_statement_is_understood_by_the_server(database: str) -> None:
    shadow = Shadow("orders")
    async with session(database) as connection:
        await shadow.create(connection, verification=1, tables=())
        for name in statements():
            if name != "create_migrations":
                await connection.prepare(shadow.sql(name))
