"""What must not run at a worker's start goes on by itself once its reason is over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.events.publisher import EventPublisher
from sidecar.postgres.checkpoints import projection_setup
from sidecar.postgres.checkpoints.acceptance import accept_renamed, accept_service
from sidecar.postgres.checkpoints.projection_setup import Setups
from sidecar.projections.ports import State
from tests.beside import beside
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.setting_up import make_setups, names_of, row_of
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage, session
from tests.postgres.test_renamed import under


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_setup, "REFUSED_SECONDS", 0.02)


def with_partitions(stage: Stage, partitions: int) -> EventPublisher:
    publisher = EventPublisher(stage.publisher.types)
    publisher.add_projection(Journal(partitions=partitions))
    return publisher


@asynccontextmanager
async def starting(stage: Stage, service: str | None = None) -> AsyncIterator[Setups]:
    """Do what a worker does at its start, and what it does from then on."""
    setups = make_setups(stage, service)
    async with session(stage.dsn) as connection:
        await setups.register(connection)
    await setups.run()
    async with beside(setups.retry()):
        yield setups


async def until_ready(setups: Setups, name: str) -> None:
    async def is_ready() -> bool:
        return name in names_of(setups)

    await eventually(is_ready)
    assert setups.refused == {}


async def until_told(stage: Stage, name: str) -> str:
    """Wait until the row of a projection says why nobody runs it."""

    async def is_told() -> bool:
        return (await row_of(stage, name))[0] == State.FAILED

    await eventually(is_told)
    return str((await row_of(stage, name))[1])


async def test_a_renamed_projection_goes_on_once_that_is_accepted(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database, Totals()) as old:
        await old.place("a", 1)
        await old.catch_up()
        new = under("amounts", old)
        async with starting(new) as setups:
            assert "--renamed-from totals" in setups.refused["amounts"]
            async with session(database) as connection:
                await accept_renamed(connection, "amounts", "totals", "clearer")
            await until_ready(setups, "amounts")
            # What it handles was forgotten with the new name's own row.
            declared = "SELECT projection, type FROM sidecar.declarations"
            assert [tuple(row) for row in await old.pool.fetch(declared)] == [("amounts", "Placed")]
            assert await row_of(old, "amounts") == (State.RUNNING, None, 1)
    assert caplog.text.count("amounts cannot run here") == 1


async def test_another_number_of_partitions_is_taken_once_all_stand_at_one_position(
    database: str,
) -> None:
    async with open_stage(database, Journal(partitions=3)) as old:
        await old.place("a", 1)
        await old.catch_up()
        await old.pool.execute("UPDATE sidecar.checkpoints SET position = partition")
        async with session(database) as worker:
            leases = old.make_lease_table(worker)
            await leases.join()
            await leases.share()
            new = Stage(database, old.pool, with_partitions(old, 1), old.policy)
            async with starting(new) as setups:
                assert "ran in 3 partition(s) and now wants 1" in setups.refused["journal"]
                # An older worker runs it, and is not stopped by that.
                assert (await row_of(old, "journal"))[0] == State.RUNNING
                worker.terminate()
                # It has ended at different positions: nobody runs it, and its row says why.
                assert "stand at different positions" in await until_told(old, "journal")
                await old.pool.execute("UPDATE sidecar.checkpoints SET position = 2")
                await until_ready(setups, "journal")
            assert await row_of(old, "journal") == (State.RUNNING, None, 2)


async def test_another_service_goes_on_with_a_projection_that_is_handed_over(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        async with starting(stage, "shop") as setups:
            assert names_of(setups) == {"journal"}
        async with starting(stage, "billing") as setups:
            assert "belongs to the service shop" in setups.refused["journal"]
            async with session(database) as connection:
                assert await accept_service(connection, "journal", "billing", "moved")
            await until_ready(setups, "journal")
