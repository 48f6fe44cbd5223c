"""Workers, backends, leases and the server come to harm; the read models stay true."""

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest

from sidecar.postgres.migration import migrate
from tests.incidents.chaos.replica import leases, replicas
from tests.incidents.chaos.rounds import Rounds, expect_order, paying
from tests.incidents.chaos.service import BOOKS, DOZEN
from tests.incidents.ledger import Ledger, open_ledger
from tests.incidents.patience import eventually
from tests.postgres.cluster import Cluster
from tests.postgres.stage import session

# One after another on one of the workers: together they leave each other too little of the machine.
pytestmark = pytest.mark.xdist_group("strain")

MODULE = "tests.incidents.chaos.service"
COMPARE_ROUNDS = 10
FAILOVER_SECONDS = 5.0
NAMES = tuple(book.name for book in BOOKS)


@pytest.fixture
async def outer_ledger(
    private_cluster: Cluster, request: pytest.FixtureRequest
) -> AsyncIterator[Ledger]:
    """The application, on the server that is to be stopped."""
    dsn = private_cluster.dsn()
    async with session(dsn) as connection:
        # What was acknowledged must survive the server's death, or the comparison says nothing.
        await connection.execute("ALTER DATABASE postgres SET synchronous_commit = on")
        await migrate(connection)
    async with open_ledger(dsn, request.config.getoption("--seed")) as ledger:
        yield ledger


@pytest.mark.timeout(7200)
async def test_read_models_stay_true_through_every_fault(
    tmp_path: Path,
    private_cluster: Cluster,
    outer_ledger: Ledger,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rounds = request.config.getoption("--chaos-rounds")
    seed = request.config.getoption("--seed")
    click.echo(f"--seed {seed}")  # pytest shows it when the test fails
    began_mono = time.monotonic()
    async with replicas(tmp_path, private_cluster.dsn(), f"{MODULE}:publisher") as crew:
        faults = Rounds(crew, outer_ledger, private_cluster, random.Random(seed))
        async with paying(outer_ledger):
            await faults.wait_for_progress()
        for first in range(0, rounds, COMPARE_ROUNDS):
            async with paying(outer_ledger):
                for _ in range(min(COMPARE_ROUNDS, rounds - first)):
                    await faults.play_round()
            await outer_ledger.expect_equal(*NAMES, within_seconds=30.0)
            await expect_order(outer_ledger, *NAMES)
        seconds = time.monotonic() - began_mono
        events = await outer_ledger.appended()
    assert await outer_ledger.value("SELECT count(*) FROM sidecar.dead_letters") == 0
    with capsys.disabled():
        click.echo(
            f"\n{rounds} faults in {seconds:.0f} s, {events} events: {dict(faults.done)}, "
            f"work went on within {faults.slowest_seconds:.1f} s"
        )


async def test_survivor_has_every_projection_of_a_killed_replica(
    tmp_path: Path, database: str, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    async def are_shared_out() -> bool:
        return sorted((await leases(ledger)).values()) == [6, 6]

    async def are_with_one() -> bool:
        return list((await leases(ledger)).values()) == [12]

    async with replicas(tmp_path, database, f"{MODULE}:dozen") as crew:
        async with ledger.paying():
            await eventually(are_shared_out)
            await crew.kill(0)
            began_mono = time.monotonic()
            await eventually(are_with_one, FAILOVER_SECONDS)
            seconds = time.monotonic() - began_mono
        await ledger.expect_equal(*DOZEN)
        await expect_order(ledger, *DOZEN)
    with capsys.disabled():
        click.echo(f"\nleases of a killed replica taken over within {seconds:.2f} s")
