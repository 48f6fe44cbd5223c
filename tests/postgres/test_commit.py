"""Which commits wait for the disk: those whose loss would not undo what they stand for."""

import pytest

from sidecar.events.subscriber import Connection
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.projections.projection import Partition
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session

SETTING = "SELECT current_setting('synchronous_commit')"
MAKE_DURABLE = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET synchronous_commit = on', current_database());
END $$
"""


@pytest.fixture
async def durable(database: str) -> str:
    """DSN of a database whose commits wait, unlike those of other tests."""
    async with session(database) as connection:
        await connection.execute(MAKE_DURABLE)
    return database


class Asking:
    """Asks what holds for its own transaction."""

    name = "asking"
    handles = (Placed,)

    def __init__(self) -> None:
        self.answers: set[str] = set()

    async def handle(self, event: Placed, connection: Connection) -> None:
        assert event.order
        self.answers.add(await connection.fetchval(SETTING))


async def test_read_model_and_checkpoint_do_not_wait_for_the_disk(durable: str) -> None:
    asking = Asking()
    async with open_stage(durable, asking) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
        assert asking.answers == {"off"}
        assert await stage.pool.fetchval(SETTING) == "on"


@pytest.mark.parametrize(("repeatable", "setting"), [(True, "off"), (False, "on")])
async def test_effects_outside_the_transaction_are_noted_durably(
    durable: str, *, repeatable: bool, setting: str
) -> None:
    async with open_stage(durable, Asking()) as stage:
        projection_store, partition = PostgresProjectionStore(stage.pool), Partition("asking")
        async with projection_store.begin(partition, 0, eager=True, repeatable=repeatable) as work:
            assert await work.connection.fetchval(SETTING) == setting
