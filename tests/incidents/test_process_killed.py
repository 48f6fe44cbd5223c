import asyncio
import random
from pathlib import Path

import psutil
import pytest

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import TARGET, Program, ready_service, serve

# One after another on one of the workers: together they leave each other too little of the machine.
pytestmark = pytest.mark.xdist_group("strain")

ORPHAN_SECONDS = 2.0
# A transaction of 1000 events takes a good part of a second, so that most kills fall into one.
PACE = {"SERVICE_PACE_SECONDS": "0.0002"}
BACKLOG_EVENTS = 2000


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.config.getoption("--seed"))


async def wait_for_work(ledger: Ledger, chance: random.Random) -> None:
    """Return at a chance moment while a backlog is being worked off."""
    await ledger.pay_many(BACKLOG_EVENTS)
    goal = await ledger.applied("totals") + chance.randint(1, BACKLOG_EVENTS)

    async def is_reached() -> bool:
        return await ledger.applied("totals") >= goal

    await eventually(is_reached)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", [20])
async def test_nothing_is_lost_when_serve_is_killed_again_and_again(
    tmp_path: Path, database: str, ledger: Ledger, chance: random.Random, rounds: int
) -> None:
    async with ledger.paying():
        for _ in range(rounds):
            async with serve(tmp_path, database, TARGET, **PACE) as program:
                await wait_for_work(ledger, chance)
                await program.kill()
                await program.family.assert_gone(ORPHAN_SECONDS)
    async with ready_service(tmp_path, database):
        await ledger.expect_equal()


# Each kill in a row doubles the pause before the next start, up to 15 s; a new `serve` begins anew.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("serves", "kills"), [(4, 5)])
async def test_nothing_is_lost_when_the_worker_is_killed_again_and_again(
    tmp_path: Path, database: str, ledger: Ledger, chance: random.Random, serves: int, kills: int
) -> None:
    async with ledger.paying():
        for _ in range(serves):
            async with ready_service(tmp_path, database, **PACE) as program:
                for _ in range(kills):
                    await wait_for_work(ledger, chance)
                    await kill_worker(program)
                await expect_restarts(program, kills)
    async with ready_service(tmp_path, database):
        await ledger.expect_equal()


async def kill_worker(program: Program) -> None:
    async def find_pid() -> int | None:
        pid: int | None = (await program.worker())["pid"]
        return pid

    pid = await eventually(find_pid)
    psutil.Process(pid).kill()

    async def is_noticed() -> bool:
        return bool((await program.worker())["pid"] != pid)

    await eventually(is_noticed)
    assert (await program.get("/health")).status == 200


async def expect_restarts(program: Program, kills: int) -> None:
    async def are_counted() -> bool:
        name = "sidecar_worker_restarts_total"
        return await program.metric(name, worker="worker-1", reason="exited") == kills

    await eventually(are_counted)
    assert len(program.lines("sidecar.worker.exited")) == kills


async def test_a_worker_that_is_stuck_ends_with_the_serve_that_is_killed(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    marker = tmp_path / "slept"
    hang = {"SERVICE_MARKER": str(marker), "SIDECAR_WORKER_HANG_SECONDS": "60"}
    async with ready_service(tmp_path, database, **hang) as program:
        await ledger.pay("sleeper", memo="sleep")

        async def is_stuck() -> bool:
            return await asyncio.to_thread(marker.exists)

        await eventually(is_stuck)
        await program.kill()
        await program.family.assert_gone(ORPHAN_SECONDS)
    async with ready_service(tmp_path, database, **hang):
        await ledger.expect_equal()
