"""A read model is compared with a replay of the log while it serves."""

import pytest

from tests.postgres import rebuilding, verifying
from tests.postgres.rebuilding import Totals
from tests.postgres.stage import open_stage


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_sound_read_model_has_no_difference(database: str, partitions: int) -> None:
    async with open_stage(database, Totals(partitions=partitions)) as stage:
        await rebuilding.fill(stage, 5000, 700)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            found = await verifying.verify(stage)
        assert (found.state, found.detail) == ("equal", None)
        assert found.report is not None
        assert found.report.rows == 700
        assert (found.report.from_position, found.report.upto_position) == (5000, 5000)
        assert not await stage.pool.fetchval("SELECT to_regnamespace('sidecar_verify_totals')")


async def test_rows_that_were_changed_lost_or_added_are_found_with_their_keys(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 3000, 300)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            await stage.pool.execute("UPDATE totals SET amount = amount + 1 WHERE stream = 's7'")
            await stage.pool.execute("DELETE FROM totals WHERE stream = 's8'")
            await stage.pool.execute("INSERT INTO totals VALUES ('ghost', 1, 1)")
            found = await verifying.verify(stage)
        assert found.state == "drifted"
        assert found.report is not None
        (table,) = found.report.tables
        assert {d.key: (str(d.kind), d.columns) for d in table.differences} == {
            ("s7",): ("different", ("amount",)),
            ("s8",): ("missing", ()),
            ("ghost",): ("extra", ()),
        }
        assert found.report.drift_rows == 3
