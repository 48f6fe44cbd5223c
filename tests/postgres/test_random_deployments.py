"""In whatever order releases of writer and worker come and go: right in the end, or told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sidecar.postgres.pools.pool import MeteredPool
from sidecar.projections import cursor, dead_letter_retry, runner, worker
from tests.postgres.cluster import TEMPLATE, Cluster
from tests.postgres.deploying import Service
from tests.postgres.deployments import Deployments


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "deployments" in metafunc.fixturenames:
        first, count = (
            metafunc.config.getoption("--seed"),
            metafunc.config.getoption("--deployments"),
        )
        metafunc.parametrize("deployments", range(first, first + count))


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what is done now and then as soon as it can be."""
    monkeypatch.setattr(worker, "SHARE_SECONDS", 0.05)
    monkeypatch.setattr(worker, "SLOWEST_SECONDS", 0.02)
    monkeypatch.setattr(cursor, "UNHANDLED_MOVE_SECONDS", 0.01)
    monkeypatch.setattr(dead_letter_retry, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(runner, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr("sidecar.projections.live_copy.IDLE_SECONDS", 0.05)


@asynccontextmanager
async def open_service(cluster: Cluster) -> AsyncIterator[Service]:
    async with (
        cluster.database(TEMPLATE) as dsn,
        MeteredPool(dsn, name="writer", min_size=1, max_size=4) as pool,
    ):
        service = Service(dsn, pool)
        try:
            yield service
        finally:
            await service.stop_all()


async def test_in_random_deployments_the_read_model_is_right_or_what_it_lacks_is_told(
    cluster: Cluster, deployments: int, record_property: Callable[[str, object], None]
) -> None:
    async with open_service(cluster) as service:
        sequence = Deployments(deployments, service)
        await sequence.run()
        verdict = await sequence.end_right()
    record_property("verdict", verdict)
    record_property("did", dict(sequence.did))
