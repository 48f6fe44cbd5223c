import asyncpg
import pytest

from sidecar.errors import ProjectionError
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.connection import RawConnection
from sidecar.projections.ports import State
from tests.postgres.shop import Journal, Mailer
from tests.postgres.stage import open_stage, session


async def list_checkpoints(connection: RawConnection) -> list[asyncpg.Record]:
    query = "SELECT * FROM sidecar.checkpoints ORDER BY projection, copy, partition"
    return await connection.fetch(query)


async def test_projection_is_registered_once_for_each_partition(database: str) -> None:
    async with open_stage(database, Journal(partitions=3)) as stage:
        await stage.register()
        async with session(database) as connection:
            rows = await list_checkpoints(connection)
        assert [(row["projection"], row["partition"], row["partitions"]) for row in rows] == [
            ("journal", index, 3) for index in range(3)
        ]
        assert {row["state"] for row in rows} == {State.RUNNING}
        assert {row["moved_at"] for row in rows} == {None}


async def test_what_a_release_makes_a_projection_is_one_and_no_handler(database: str) -> None:
    async with open_stage(database, handlers=[Mailer()]) as stage:
        await stage.place("order-1", 1)
        await stage.catch_up()
    async with session(database) as connection:
        for projections, handlers, kind in (
            ((), (Mailer(),), "handler"),
            ((Mailer(),), (), "projection"),
            ((), (Mailer(),), "handler"),
        ):
            async with open_stage(database, *projections, handlers=handlers):
                rows = await list_checkpoints(connection)
            assert [(row["kind"], row["position"]) for row in rows] == [(kind, 1)]


async def test_number_of_partitions_can_change_while_all_stand_at_one_position(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
    async with open_stage(database, Journal(partitions=2)) as stage:
        async with session(database) as connection:
            rows = await list_checkpoints(connection)
        assert [(row["partition"], row["partitions"], row["position"]) for row in rows] == [
            (0, 2, 3),
            (1, 2, 3),
        ]


async def test_number_of_partitions_cannot_change_while_they_stand_apart(database: str) -> None:
    async with open_stage(database, Journal(partitions=2)) as stage:
        await stage.pool.execute("UPDATE sidecar.checkpoints SET position = partition")
    with pytest.raises(ProjectionError, match="different positions"):
        async with open_stage(database, Journal(partitions=3)):
            pass
    async with session(database) as connection:
        assert len(await list_checkpoints(connection)) == 2


async def test_state_is_set_for_all_partitions(database: str) -> None:
    async with open_stage(database, Journal(partitions=3)), session(database) as connection:
        assert await set_state(connection, "journal", State.PAUSED, "deploy") == 3
        rows = await list_checkpoints(connection)
        assert {(row["state"], row["detail"]) for row in rows} == {(State.PAUSED, "deploy")}
        with pytest.raises(ProjectionError, match="no projection 'unheard'"):
            await set_state(connection, "unheard", State.PAUSED)


async def test_failing_setup_leaves_nothing_that_it_did(database: str) -> None:
    class Broken(Journal):
        async def setup(self, connection: Connection) -> None:
            await super().setup(connection)
            raise ZeroDivisionError

    async with open_stage(database) as stage, stage.pool.acquire() as connection:
        broken = open_stage(database, Broken("broken"))
        with pytest.raises(ZeroDivisionError):
            await broken.__aenter__()
        assert await connection.fetchval("SELECT to_regclass('broken')") is None
