"""Two services in one database: neither takes the other's checkpoints for its own."""

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.health.outcome import Outcome
from sidecar.postgres.checkpoints.acceptance import accept_service
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.worker_place import WorkerStatus
from sidecar.projections.ports import State
from sidecar.testing import ask
from sidecar.wiring.boot import prepare
from sidecar.wiring.checks.read_model import projection_check
from tests.observed import ready_state
from tests.postgres.setting_up import make_setups, names_of, row_of, set_up
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage, session


async def owners(stage: Stage) -> dict[str, str | None]:
    rows = await stage.pool.fetch("SELECT projection, service FROM sidecar.checkpoints")
    return {row["projection"]: row["service"] for row in rows}


def other_service(stage: Stage) -> Stage:
    publisher = EventPublisher(stage.publisher.types)
    for projection in (Journal(partitions=2), Journal("bills")):
        publisher.add_projection(projection)
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


async def test_another_service_is_refused_what_is_not_its_own_and_goes_on_with_the_rest(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database, Journal()) as stage:
        # Made before services were told apart; the replicas of one are no strangers to each other.
        assert await owners(stage) == {"journal": None}
        for _ in range(2):
            assert await set_up(stage, "shop") == {"journal"}
        await stage.place("a", 1)
        await stage.catch_up()
        before = await row_of(stage, "journal")
        billing = other_service(stage)
        setups = make_setups(billing, "billing")
        async with session(database) as connection:
            await setups.register(connection)
        await setups.run()
        assert names_of(setups) == {"bills"}
        assert "journal belongs to the service shop" in setups.refused["journal"]
        assert "this is billing" in caplog.text
        # The owner's rows are as they were: not failed, and not divided anew.
        assert await row_of(stage, "journal") == before
        assert await owners(stage) == {"journal": "shop", "bills": "billing"}
        # What somebody starts by hand, without a name, is let in.
        assert await set_up(stage) == {"journal"}


async def test_a_service_that_got_another_name_takes_its_projections_over(database: str) -> None:
    async def hand_over(connection: RawConnection) -> bool:
        return await accept_service(connection, "journal", "store", "renamed")

    async with open_stage(database, Journal()) as stage:
        await set_up(stage, "shop")
        async with session(database) as connection:
            async with session(database) as worker:
                leases = stage.make_lease_table(worker)
                await leases.join()
                await leases.share()
                with pytest.raises(ProjectionError, match="A worker of shop runs journal"):
                    await hand_over(connection)
                for partition in leases.mine:
                    await leases.release(partition)
            assert await hand_over(connection)
            assert not await hand_over(connection)
        assert await set_up(stage, "store") == {"journal"}
        assert await set_up(stage, "shop") == set()
        assert (await row_of(stage, "journal"))[0] == State.RUNNING


async def test_a_service_of_which_a_projection_was_refused_fails_its_check(database: str) -> None:
    async with open_stage(database, Journal()) as stage, session(stage.dsn) as connection:
        sample = await take_sample(connection, SafeHeadFollower())
    worker = WorkerStatus("worker-1", heartbeat=Heartbeat(refused={"journal": "It is store's."}))
    state = ready_state(sample, workers=(worker,))
    check = projection_check("journal", "projection-journal", lambda: state, 60.0)
    result = await ask(check)
    assert (result.outcome, result.reason) == (Outcome.FAIL, "projection-journal.refused")


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"}, "shop"),
    ],
)
def test_a_service_is_known_by_its_name_in_telemetry(
    variables: dict[str, str], service: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert prepare("test", quiet=True).service == service
