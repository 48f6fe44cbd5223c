"""One table, one projection: two that declare the same one are told apart however they spell it."""

from collections.abc import Awaitable

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.block import Block
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.connection import RawConnection
from sidecar.projections.ports import State
from sidecar.wiring.decision import Decision, decide
from tests.postgres import rebuilding
from tests.postgres.rebuilding import Totals
from tests.postgres.setting_up import make_setups, row_of, set_up
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import Stage, open_stage, session


class Counts:
    """Fills the same table as `Totals` does, under another spelling of its name."""

    name = "counts"
    handles = (Placed,)

    def __init__(self, table: str) -> None:
        self.tables = (table,)

    async def handle(self, _event: Placed, connection: Connection) -> None:
        await connection.execute("UPDATE totals SET events = 0")


async def stage_of(stage: Stage, *projections: object) -> Stage:
    """Return the same database as another release of the service sees it."""
    publisher = EventPublisher(stage.publisher.types)
    for projection in projections:
        publisher.add_projection(projection)
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


@pytest.mark.parametrize(
    "spelling", ["totals", "Totals", '"totals"', "public.totals", "Public . Totals"]
)
async def test_two_new_ones_with_one_table_are_refused_with_both_names_and_the_rest_goes_on(
    database: str, spelling: str
) -> None:
    async with open_stage(database) as stage:
        both = await stage_of(stage, Totals(), Counts(spelling), Journal())
        assert await set_up(both) == {"journal"}
        for one, other in (("totals", "counts"), ("counts", "totals")):
            state, detail, _ = await row_of(both, one)
            assert state == State.FAILED
            assert f"{one} and {other} both declare the table" in str(detail)
            assert await block_of(both, one) == Block.SHARED_TABLE
        mended = await stage_of(stage, Totals(), Journal())
        async with session(database) as connection:
            await connection.execute("DELETE FROM sidecar.checkpoints WHERE projection = 'counts'")
        assert await set_up(mended) == {"totals", "journal"}
        assert await block_of(mended, "totals") is None


async def test_one_that_waits_for_its_table_is_neither_resumed_nor_accepted(database: str) -> None:
    async with open_stage(database) as stage:
        both = await stage_of(stage, Totals(), Counts("totals"))
        await set_up(both)
        async with session(database) as connection:
            for settle in (set_state(connection, "counts", State.RUNNING), decide_on(connection)):
                with pytest.raises(ProjectionError, match="both declare the table totals"):
                    await settle


async def test_a_block_for_another_reason_outlasts_that_for_a_shared_table(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2)
        await stage.catch_up()
        both = await stage_of(stage, Totals(), Counts("totals"))
        await set_up(both)
        # Its table holds rows that another one has made.
        assert await block_of(both, "counts") == Block.FILLED


def decide_on(connection: RawConnection) -> Awaitable[str]:
    return decide(connection, None, "counts", Decision("it is right"))


async def block_of(stage: Stage, name: str) -> str | None:
    query = "SELECT block FROM sidecar.checkpoints WHERE projection = $1"
    block: str | None = await stage.pool.fetchval(query, name)
    return block


async def test_table_on_another_schema_of_the_search_path_is_another_table(database: str) -> None:
    async with open_stage(database) as stage:
        await stage.pool.execute("CREATE SCHEMA other; CREATE TABLE other.totals (stream text)")
        both = await stage_of(stage, Totals(), Counts("other.totals"))
        assert await set_up(both) == {"totals", "counts"}


async def test_one_that_has_filled_its_table_goes_on_beside_a_newcomer(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2)
        await stage.catch_up()
        both = await stage_of(stage, Totals(), Counts("totals"))
        assert await set_up(both) == {"totals"}
        assert (await row_of(both, "totals"))[:2] == (State.RUNNING, None)
        assert "counts and totals both" in str((await row_of(both, "counts"))[1])


async def test_a_table_of_two_that_fill_it_already_is_never_rebuilt(database: str) -> None:
    async with open_stage(database, Totals(), Journal("counts")) as stage:
        await stage.place("a", 1, 2)
        await stage.catch_up()
        await rebuilding.start(stage)
        await stage.pool.execute(
            "UPDATE sidecar.checkpoints SET tables = '{public.TOTALS}' WHERE projection = 'counts'"
        )
        # One under way is not swapped in, and none is begun.
        async with rebuilding.working(stage):
            assert "totals and counts both declare" in await rebuilding.until_halted(stage)
        await rebuilding.cancel(stage)
        with pytest.raises(ProjectionError, match="totals and counts both declare the table"):
            await rebuilding.start(stage)
        # Neither is run, which is told here also while another worker runs one of them still.
        async with session(database) as connection, session(database) as worker:
            leases = stage.make_lease_table(worker)
            await leases.join()
            await leases.share()
            setups = make_setups(await stage_of(stage, Totals(), Counts("totals")))
            await setups.register(connection)
            await setups.run()
            assert setups.ready == ()
            assert setups.refused.keys() == {"totals", "counts"}
            assert (await row_of(stage, "totals"))[0] == State.RUNNING


async def test_names_that_postgresql_cannot_read_are_no_obstacle(database: str) -> None:
    async with open_stage(database) as stage:
        odd = await stage_of(stage, Totals(), Counts('no"name'), Journal())
        assert await set_up(odd) == {"totals", "counts", "journal"}
