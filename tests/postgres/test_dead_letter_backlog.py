"""One poison event in a large backlog."""

import time
from typing import Final

import click
import pytest

from sidecar.projections.retry import RetryPolicy
from tests.postgres.rebuilding import Totals, fill, oracle, read
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage

EVENTS: Final = 100_000
POISON: Final = "o40000"


async def catch_up(stage: Stage, projection: str) -> float:
    """Return how long one projection took for everything, in seconds."""
    began_mono = time.monotonic()
    [partition] = stage.subscriptions[projection].split()
    stage.start_runner(stage.make_runner(partition))
    await stage.settle(within_seconds=60.0)
    await stage.stop()
    return time.monotonic() - began_mono


async def test_one_poison_event_in_100000_parks_its_stream_alone(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    poisoned, healthy = Totals("poisoned"), Totals("healthy")
    poisoned.broken = {POISON}
    async with open_stage(database, poisoned, healthy) as stage:
        await fill(stage, EVENTS)
        # One after the other, so that each has the machine for itself.
        without = await catch_up(stage, "healthy")
        with_poison = await catch_up(stage, "poisoned")
        right = await oracle(stage)
        assert await read(stage, "healthy") == right
        [letter] = await stage.letters()
        assert (letter["projection"], letter["stream"], letter["version"]) == ("poisoned", "s0", 41)
        found = await read(stage, "poisoned")
        assert found[1:] == right[1:]
        assert found[0][2] == 40
        poisoned.broken.clear()
        await stage.retry()
        assert await read(stage, "poisoned") == right
    with capsys.disabled():
        click.echo(
            f"\n{EVENTS} events in {without:.2f} s, with one that is poison in {with_poison:.2f} s,"
            f" {with_poison / without:.2f} times"
        )


async def test_retried_stream_of_a_backlog_keeps_its_order(database: str) -> None:
    journal = Journal()
    journal.broken = {"o500"}
    async with open_stage(database, journal, policy=RetryPolicy(max_attempts=1)) as stage:
        await fill(stage, 5000, streams=10)
        await stage.catch_up()
        journal.broken.clear()
        await stage.retry()
        lines = await stage.lines()
    assert [line.version for line in lines if line.stream == "s0"] == list(range(1, 501))
    assert len(lines) == 5000
