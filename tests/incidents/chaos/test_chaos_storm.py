"""Three sidecars, an application and a server in a storm of faults; the read models stay true.

Ten minutes of it: `make chaos`. What is chosen comes from `--seed`; the moments, from the machine.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

import click
import pytest

from sidecar.postgres.migration import migrate
from tests.incidents.chaos import oracle, replay, upkeep
from tests.incidents.chaos.crew import Crew, running_crew
from tests.incidents.chaos.service import FRAGILE
from tests.incidents.chaos.storm import Storm
from tests.incidents.patience import eventually, while_it_moves
from tests.postgres.cluster import Cluster
from tests.postgres.stage import session

# One after another on one of the workers: together they leave each other too little of the machine.
pytestmark = pytest.mark.xdist_group("strain")

SETTLE_SECONDS: Final = 60.0
SCRAPE_SECONDS: Final = 3.0
# However slow the machine is, one read model is swapped and one verified in such a time.
REPLAY_SECONDS: Final = 60.0
LAST_POISON: Final = 5

_POISON: Final = """
INSERT INTO sidecar.events (stream, version, type, data)
SELECT 'account-last-' || n, 1, 'Paid',
       json_build_object('account', 'last-' || n, 'cents', 1, 'memo', 'poison')
FROM generate_series(1, $1::integer) AS n RETURNING position
"""
_OPEN: Final = "SELECT count(*) FROM sidecar.dead_letters WHERE resolution IS NULL"


@pytest.mark.timeout(0)
async def test_nothing_is_lost_doubled_or_untold_in_a_storm_of_all_faults(
    tmp_path: Path,
    private_cluster: Cluster,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds: float = request.config.getoption("--chaos-seconds")
    seed: int = request.config.getoption("--seed")
    async with session(private_cluster.dsn()) as connection:
        await migrate(connection)
    async with running_crew(tmp_path, private_cluster, seed) as crew:
        storm = Storm(crew)
        try:
            await storm.run(seconds)
            await expect_calm(crew)
            replays = await expect_replays(crew, storm, seconds)
            told = await expect_truth(crew)
            await expect_failures_counted(crew)
            await expect_cure(crew)
            verified = await replay.expect_no_drift(crew)
        except BaseException:
            click.echo(f"--seed {seed} --chaos-seconds {seconds:g}")  # shown by pytest
            click.echo("\n".join(map(str, storm.strikes)))
            raise
        assert crew.wrongs == []
    with capsys.disabled():
        click.echo(f"\n{len(storm.strikes)} faults in {seconds:g} s: {storm.count()}\n{told}")
        click.echo(f"{replays} in their time; verifications in all: {verified}")


async def expect_calm(crew: Crew) -> None:
    """All that runs finds back to where it should be, with nobody's help."""
    await crew.settle(SETTLE_SECONDS)
    # A long storm leaves a long log, of which an eager book sends two statements for each event.
    await while_it_moves(partial(upkeep.end_rebuilds, crew), SETTLE_SECONDS)
    await replay.end_verifications(crew)
    await eventually(partial(oracle.is_at_head, crew), SETTLE_SECONDS)
    await eventually(partial(oracle.is_none_waiting, crew), SETTLE_SECONDS)
    await eventually(partial(oracle.is_shared_out, crew), SETTLE_SECONDS)
    await eventually(partial(oracle.are_sessions_in_bounds, crew), SETTLE_SECONDS)
    await crew.become_ready(SETTLE_SECONDS)


async def expect_replays(crew: Crew, storm: Storm, seconds: float) -> str:
    """Read models were swapped and verified in the storm itself: else it says nothing of them."""
    told = f"{storm.swaps} swaps and {await replay.count_equal(crew)} verifications to their end"
    least = seconds // REPLAY_SECONDS
    assert storm.swaps >= least, told
    assert await replay.count_equal(crew) >= least, told
    return told


async def expect_truth(crew: Crew) -> str:
    await oracle.expect_acknowledged(crew)
    for book in upkeep.NAMES:
        await oracle.expect_effects(crew, book)
    skipped = await oracle.expect_gaps_skipped(crew)
    await oracle.expect_told(crew)
    oracle.expect_clean_logs(crew)
    [(events, letters)] = await crew.query(
        "SELECT (SELECT count(*) FROM sidecar.events), (SELECT count(*) FROM sidecar.dead_letters)"
    )
    return (
        f"{events} events, {skipped} positions skipped, {letters} dead letters: all accounted for"
    )


async def expect_failures_counted(crew: Crew) -> None:
    """Failures are counted where nobody is killed any more, and each sidecar tells of them."""
    await asyncio.sleep(SCRAPE_SECONDS)  # what is shown now may be a scrape older
    before = await count_failures(crew)
    await crew.query(_POISON, LAST_POISON)

    async def are_counted() -> bool:
        return await count_failures(crew) == before + LAST_POISON

    async def are_told() -> bool:
        [(letters,)] = await crew.query(_OPEN)
        told = [
            await seat.program.metric("sidecar_dead_letters", projection=FRAGILE.name)
            for seat in crew.seats
            if seat.program is not None
        ]
        return told == [letters] * len(crew.seats)

    await eventually(are_counted, SETTLE_SECONDS)
    await eventually(are_told, SETTLE_SECONDS)


async def count_failures(crew: Crew) -> float:
    name, labels = "sidecar_projection_failures_total", {"projection": "fragile", "action": "park"}
    return sum([await s.program.metric(name, **labels) for s in crew.seats if s.program])


async def expect_cure(crew: Crew) -> None:
    """Once nothing fails any more, a retry leaves no letter open, and all is where it should be."""
    await upkeep.cure_all(crew)

    async def is_none_open() -> bool:
        return await crew.query(_OPEN) == [(0,)]

    await eventually(is_none_open, SETTLE_SECONDS)
    await oracle.expect_effects(crew, FRAGILE.name)
