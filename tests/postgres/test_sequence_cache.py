"""A sequence that hands out blocks of positions makes every proof about gaps worthless."""

from sidecar.postgres.migration import find_unsafe_sequence
from tests.postgres.stage import session


async def test_a_sequence_without_cache_is_safe(database: str) -> None:
    async with session(database, "test") as connection:
        assert await find_unsafe_sequence(connection) == ""


async def test_a_sequence_with_a_cache_is_told_with_its_cure(database: str) -> None:
    async with session(database, "test") as connection:
        await connection.execute("ALTER TABLE sidecar.events ALTER COLUMN position SET CACHE 20")
        told = await find_unsafe_sequence(connection)
        assert "20 positions at a time" in told
        await connection.execute(told.rpartition(": ")[2])
        assert await find_unsafe_sequence(connection) == ""
