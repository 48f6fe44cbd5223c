"""Each incident shows as it must, is told to the right person alone, and leaves nothing behind."""

from pathlib import Path

import pytest

from tests.incidents.drills.drill import Drill
from tests.incidents.drills.record import keep
from tests.incidents.drills.rehearsal import rehearse
from tests.incidents.drills.stand import standing
from tests.incidents.drills.table import DRILLS, QUICK


@pytest.mark.timeout(420)
@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.slug)
async def test_an_incident_is_seen_told_and_cured(
    tmp_path: Path, drill: Drill, request: pytest.FixtureRequest
) -> None:
    if drill.name not in QUICK and request.config.getoption("--drills") != "all":
        pytest.skip("only with --drills all")
    async with standing(tmp_path, drill.plan) as stand:
        keep(drill, await rehearse(stand, drill))
