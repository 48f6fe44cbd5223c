"""Events that a release did not handle lie below the checkpoint: they are counted and told."""

import datetime as dt

import pytest

from sidecar.health.outcome import Outcome
from sidecar.postgres.checkpoints import passed_over_counter
from sidecar.postgres.checkpoints.acceptance import accept_position
from sidecar.postgres.samples.sample import Sample
from sidecar.projections.passed_over import PassedOver
from sidecar.projections.ports import State
from sidecar.projections.projection_status import ProjectionStatus, Status
from sidecar.wiring.checks.read_model import judge_projection
from sidecar.wiring.headline import describe
from tests.observed import ready_state
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
from tests.postgres.releases import Release, append, seen, status_of
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.stage import open_stage, session


async def test_a_type_that_the_worker_did_not_know_blocks_its_projection_at_the_next_start(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database) as stage:
        await append(stage, "Placed", "Cancelled", "Placed", "Cancelled", "Unheard")
        old = Release(stage, None, known=["Placed"])
        await old.run()
        assert await old.told() == {}
        new = Release(stage, None, known=["Placed", "Cancelled"])
        await set_up(new.stage)
        assert await new.told() == {"Cancelled": 2}
        assert "2 of Cancelled (positions 2 to 4)" in caplog.text
        projection = await status_of(new.stage)
        assert projection.passed_over == (PassedOver("Cancelled", 2, 2, 4),)
        assert (projection.status, projection.block) == (Status.FAILED, "passed_over")
        for command in ("rebuild seen`", "accept seen --reason TEXT`", "remove seen`"):
            assert f"`sidecar projections {command}" in str(projection.detail)
        judged = judge_projection("projection-seen", projection, 0.0, 60.0)
        assert (judged.outcome, judged.reason) == (Outcome.FAIL, "projection-seen.failed")
        async with rebuilding.working(new.stage):
            await append(stage, "Placed")
            await eventually(new.stage.advance)
            assert await seen(stage) == [1, 3]
            await rebuilding.start(new.stage, "seen")
            await rebuilding.until_swapped(new.stage, "seen")
        assert await new.told() == {}
        assert await seen(stage) == [1, 2, 3, 4, 6]


async def test_a_long_log_is_counted_in_strides(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passed_over_counter, "STRIDE_POSITIONS", 3)
    async with open_stage(database) as stage:
        await append(stage, *("Placed", "Paid") * 10)
        await Release(stage, ["Placed"]).run()
        assert await Release(stage, ["Placed", "Paid"]).told() == {"Paid": 10}


async def test_a_checkpoint_that_was_deleted_while_nobody_ran_is_noticed_by_what_it_did(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        await append(stage, "Placed", "Placed")
        release = Release(stage, ["Placed"])
        await release.run()
        await stage.pool.execute("DELETE FROM sidecar.checkpoints; TRUNCATE seen")
        await append(stage, "Placed")
        await set_up(release.stage)
        state, detail, _ = await row_of(stage, "seen")
        assert state == State.FAILED
        assert "was deleted" in str(detail)
        async with session(database) as connection:
            await accept_position(connection, "seen", 2, "restored")
        await release.run()
        assert [row["position"] for row in await stage.pool.fetch("TABLE seen")] == [3]


def test_the_sentence_names_type_count_and_command() -> None:
    told = tuple(PassedOver(f"Type{n}", n, 1, n) for n in range(1, 8))
    now = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    projection = ProjectionStatus(
        "seen", "projection", Status.CAUGHT_UP, 10, 0, 0.0, 0, 0, (), now, passed_over=told
    )
    sentence = describe(ready_state(Sample(now, 10, 10, 0.0, (), 0, (projection,), (), {})))
    assert "1 of Type1 (position 1), 2 of Type2 (positions 1 to 2)" in sentence
    assert "2 more types" in sentence
    assert "`sidecar projections rebuild seen`" in sentence
