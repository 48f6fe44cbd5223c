"""Alertmanager itself, told of several faults at once: which of them still reach a person."""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from tests.dashboards import source
from tests.incidents.patience import eventually
from tests.port import free_port

GROWING = {"alertname": "SidecarDeadLettersGrowing", "service": "shop", "projection": "orders"}
BURN_OF_ALL = {"alertname": "SidecarPublishBudgetBurn", "service": "shop"}
BURN = BURN_OF_ALL | {"kind": "projection", "projection": "orders"}
BURN_OF_HANDLER = BURN_OF_ALL | {"kind": "handler", "projection": "receipts"}


class Muting:
    """What an Alertmanager makes of alerts."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def is_up(self) -> bool:
        try:
            async with self._http.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except ClientError:
            return False

    async def tell(self, *alerts: dict[str, str]) -> None:
        told = [{"labels": labels | {"severity": "critical"}} for labels in alerts]
        async with self._http.post(f"{self._url}/api/v2/alerts", json=told) as answer:
            assert answer.status == 200, await answer.text()

    async def states(self) -> list[tuple[str, str, str]]:
        """Give name, subscriber and state of each alert."""
        async with self._http.get(f"{self._url}/api/v2/alerts") as answer:
            alerts = await answer.json()
        told = [(alert["labels"], alert["status"]["state"]) for alert in alerts]
        return sorted((one["alertname"], one.get("projection", ""), state) for one, state in told)

    async def judged(self, count: int) -> list[tuple[str, str, str]]:
        """Give the states once Alertmanager has looked at so many alerts."""
        judged = [one for one in await self.states() if one[2] != "unprocessed"]
        return judged if len(judged) == count else []


@pytest.fixture
def address(binary: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """Give where an Alertmanager with the configuration as it is shipped listens."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            binary("prometheus-alertmanager"),
            f"--config.file={source.ALERTMANAGER}",
            f"--storage.path={tmp_path}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def muting(address: str) -> AsyncIterator[Muting]:
    async with ClientSession() as http:
        told = Muting(http, f"http://{address}")
        await eventually(told.is_up)
        yield told


async def test_dead_letters_of_a_projection_mute_no_page_about_a_handler(muting: Muting) -> None:
    await muting.tell(GROWING, BURN, BURN_OF_HANDLER, BURN_OF_ALL)
    assert await eventually(partial(muting.judged, 4)) == [
        ("SidecarDeadLettersGrowing", "orders", "active"),
        ("SidecarPublishBudgetBurn", "", "active"),
        ("SidecarPublishBudgetBurn", "orders", "suppressed"),
        ("SidecarPublishBudgetBurn", "receipts", "active"),
    ]


async def test_a_slow_database_of_one_service_mutes_no_lag_of_another(muting: Muting) -> None:
    slow = {"alertname": "SidecarStoreSlow", "service": "shop", "namespace": "web"}
    lag = {"alertname": "SidecarProjectionLagHigh", "namespace": "web"}
    await muting.tell(
        slow,
        lag | {"service": "shop", "projection": "own"},
        lag | {"service": "bills", "projection": "of another service"},
        lag | {"service": "shop", "namespace": "back", "projection": "of another namespace"},
    )
    assert await eventually(partial(muting.judged, 4)) == [
        ("SidecarProjectionLagHigh", "of another namespace", "active"),
        ("SidecarProjectionLagHigh", "of another service", "active"),
        ("SidecarProjectionLagHigh", "own", "suppressed"),
        ("SidecarStoreSlow", "", "active"),
    ]
