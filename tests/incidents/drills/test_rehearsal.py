"""A rehearsal believes no good news from before the cure, and misses no bad news after it."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession

from tests.incidents.drills import rehearsal
from tests.incidents.drills.drill import Alert
from tests.incidents.drills.faults.projection import DRILLS
from tests.incidents.drills.rehearsal import expect_cured, expect_resolved
from tests.incidents.drills.stand import Stand
from tests.incidents.drills.webhook import Receiver, listening

ALERT = "SidecarDeadLettersGrowing"
DRILL = next(drill for drill in DRILLS if drill.signals.alert == Alert(ALERT))
ECHO = "SidecarReadModelDrift"


async def tell(receiver: Receiver, status: str, name: str) -> None:
    alert = {"status": status, "labels": {"alertname": name, "severity": "critical"}}
    message = {"alerts": [alert | {"annotations": {"summary": "Told."}}]}
    async with (
        listening(receiver.take) as url,
        ClientSession() as http,
        http.post(f"{url}/pager", json=message) as answer,
    ):
        assert answer.status == 200


def stand_with(receiver: Receiver, **parts: object) -> Stand:
    return cast("Stand", SimpleNamespace(receiver=receiver, **parts))


async def test_an_end_that_was_told_during_the_fault_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rehearsal, "RESOLVED_SECONDS", 0.1)
    receiver = Receiver()
    for status in ("firing", "resolved", "firing"):
        await tell(receiver, status, ALERT)
    cured_mono = time.monotonic()
    with pytest.raises(AssertionError, match="not seen after the cure"):
        await expect_resolved(stand_with(receiver), DRILL, cured_mono)
    await tell(receiver, "resolved", ALERT)
    assert await expect_resolved(stand_with(receiver), DRILL, cured_mono) is not None


class Tower:
    """Has an alert that is told of at its second look."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._looks = 0

    async def active(self) -> dict[str, str]:
        self._looks += 1
        if self._looks == 2:
            await tell(self._receiver, "firing", ECHO)
        return {ECHO: "active"} if self._looks < 3 else {}

    async def query(self, _expr: str) -> list[Any]:
        return [1]


async def test_what_is_told_once_the_incident_is_over_is_heard() -> None:
    async def run(_statement: str) -> list[Any]:
        return []

    receiver = Receiver()
    await tell(receiver, "firing", ALERT)
    stand = stand_with(receiver, tower=Tower(receiver), run=run)
    with pytest.raises(AssertionError, match=f"told, too: .*{ECHO}"):
        await expect_cured(stand, DRILL)
