"""The `tables` of a projection change by a deployment while its rebuild is under way."""

import logging

import pytest

from sidecar.errors import ProjectionError
from tests.postgres.rebuilding import (
    Totals,
    fill,
    oracle,
    read,
    rows_of,
    start,
    until_halted,
    until_live,
    until_swapped,
    waiting_for_the_swap,
    working,
)
from tests.postgres.stage import Stage, open_stage

EVENTS = 1500
DECLARE = "UPDATE sidecar.checkpoints SET tables = $1 WHERE projection = 'totals' AND copy = 'live'"


@pytest.mark.parametrize("tables", [["totals", "totals_by_day"], []], ids=["more", "none"])
async def test_rebuild_stops_and_says_what_to_do_and_the_live_copy_goes_on(
    database: str, tables: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database, Totals()) as stage:
        await fill(stage, EVENTS)
        await stage.pool.execute("CREATE TABLE totals_by_day (day date PRIMARY KEY)")
        async with working(stage):
            await until_live(stage)
            async with waiting_for_the_swap(stage, EVENTS):
                # What the start of a worker of the next release does.
                await stage.pool.execute(DECLARE, tables)
            detail = await until_halted(stage)
            assert "`tables` of totals changed" in detail
            assert "`sidecar projections rebuild totals`" in detail
            await stage.place("s1", 5)
            await until_live(stage)
            assert await read(stage) == await oracle(stage)
        await check_log(caplog)
        await begin_anew(stage, tables)


async def check_log(caplog: pytest.LogCaptureFixture) -> None:
    told = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.rebuild.halted"]
    assert [r.levelno for r in told] == [logging.CRITICAL]
    assert "`tables` of totals changed" in told[0].getMessage()
    assert "Mend the handler" not in told[0].getMessage()
    assert not [r for r in caplog.records if getattr(r, "event", "") == "sidecar.runner.crashed"]


async def begin_anew(stage: Stage, tables: list[str]) -> None:
    if not tables:
        with pytest.raises(ProjectionError, match="declares no `tables`"):
            await start(stage)
        return
    await start(stage)
    assert [(row["position"], row["state"]) for row in await rows_of(stage)] == [(0, "running")]
    async with working(stage):
        await until_swapped(stage)
    assert await read(stage) == await oracle(stage)
