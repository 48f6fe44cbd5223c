"""A deleted checkpoint is put back where it stood, by whomever and however it was deleted."""

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.checkpoints.acceptance import accept_position
from sidecar.postgres.checkpoints.block import remove, restore
from sidecar.projections.ports import State
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.shop import Journal, Mailer
from tests.postgres.stage import Stage, open_stage, session
from tests.postgres.test_checkpoint_deleted import working

DELETE = "DELETE FROM sidecar.checkpoints WHERE projection = 'totals'"
ROLE = "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger"


async def put_back(stage: Stage, name: str = "totals") -> dict[int, int]:
    async with session(stage.dsn) as connection:
        return await restore(connection, name)


async def positions(stage: Stage, name: str = "totals") -> list[int]:
    rows = await stage.pool.fetch(
        "SELECT position FROM sidecar.checkpoints WHERE projection = $1 ORDER BY partition", name
    )
    return [row["position"] for row in rows]


@pytest.mark.parametrize("statement", [DELETE, "TRUNCATE sidecar.checkpoints"])
@pytest.mark.parametrize("noticed", [True, False])
async def test_it_goes_on_where_it_stood(
    database: str,
    statement: str,
    noticed: bool,  # noqa: FBT001
) -> None:
    async with open_stage(database, Totals(partitions=3), handlers=[Mailer()]) as stage:
        await stage.place("a", 1, 2)
        await stage.place("b", 3)
        await stage.catch_up()
        before = await positions(stage)
        await stage.pool.execute(statement)
        await stage.place("a", 4)
        if noticed:
            await set_up(stage)
            _, detail, _ = await row_of(stage, "totals")
            assert "postgres deleted it on " in str(detail)
            assert "`sidecar projections restore totals` puts it back" in str(detail)
        assert list((await put_back(stage)).values()) == before
        if statement != DELETE:
            await put_back(stage, "mailer")
        assert await put_back(stage) == {}
        await set_up(stage)
        await stage.catch_up()
        assert await rebuilding.read(stage) == await rebuilding.oracle(stage)
        mailer: Mailer = stage.subscriptions["mailer"].subscriber.target  # type: ignore[assignment]
        assert mailer.heard == [1, 2, 3, 4]


async def test_a_stranger_without_rights_on_what_is_kept_can_delete_and_is_named(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        await stage.catch_up()
        async with session(database) as connection:
            await connection.execute(
                f"{ROLE}; GRANT USAGE ON SCHEMA sidecar TO stranger; "
                "GRANT SELECT, DELETE ON sidecar.checkpoints TO stranger; "
                f"SET SESSION AUTHORIZATION stranger; {DELETE}"
            )
        await set_up(stage)
        assert "stranger deleted it" in str((await row_of(stage, "totals"))[1])
        await stage.pool.execute("DROP OWNED BY stranger; DROP ROLE stranger")


async def test_a_partition_that_is_deleted_alone_is_noticed_and_put_back_while_the_others_run(
    database: str,
) -> None:
    async with open_stage(database, Totals(partitions=3), Journal()) as stage:
        for stream in "abcdef":
            await stage.place(stream, 1, 2)
        async with working(stage):
            await rebuilding.until_live(stage)
            await stage.pool.execute(f"{DELETE} AND partition = 1")
            await until_deleted(stage)
            for stream in "abcdef":
                await stage.place(stream, 3)
            await rebuilding.until_live(stage, "journal")
            async with session(database) as connection:
                with pytest.raises(ProjectionError, match="Only 1 of 3 partitions"):
                    await accept_position(connection, "totals", 4, "why not")
            assert await put_back(stage) == {1: 12}
            await rebuilding.until_live(stage)
        assert await rebuilding.read(stage) == await rebuilding.oracle(stage)


async def until_deleted(stage: Stage) -> None:
    """Wait until the loss of the partition is told."""
    where = "SELECT detail FROM sidecar.checkpoints WHERE block = 'gone' AND partition = 1"
    await eventually(lambda: stage.pool.fetchval(where))


async def test_a_paused_projection_is_put_back_paused_and_what_was_never_deleted_is_not(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        await stage.catch_up()
        await stage.pool.execute("UPDATE sidecar.checkpoints SET state = 'paused'")
        await stage.pool.execute(DELETE)
        await set_up(stage)
        await put_back(stage)
        assert (await row_of(stage, "totals"))[::2] == (State.PAUSED, 1)
        async with session(database) as connection:
            with pytest.raises(ProjectionError, match="no projection 'other'"):
                await restore(connection, "other")
            assert await remove(connection, "totals")
            assert not await remove(connection, "totals")
        # Removed on purpose: nothing of it is kept.
        await set_up(stage)
        with pytest.raises(ProjectionError, match="Nobody knows where totals stood"):
            await put_back(stage)


async def test_another_number_of_partitions_than_at_the_deletion_is_refused(database: str) -> None:
    async with open_stage(database, Totals(partitions=2)) as stage:
        await stage.place("a", 1)
        await stage.catch_up()
        await stage.pool.execute(DELETE)
        changed = Totals(partitions=3)
        publisher = type(stage.publisher)(stage.publisher.types)
        publisher.add_projection(changed)
        await set_up(Stage(database, stage.pool, publisher, stage.policy))
        with pytest.raises(ProjectionError, match="ran in 2 partition"):
            await put_back(stage)
