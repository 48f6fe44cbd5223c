"""Against a program in which something of everything has happened, every query has an answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards import source
from tests.dashboards.expression import metric_names, without_variables
from tests.dashboards.runbook import PAGES, query_of
from tests.incidents.drills.demo import watched_demo
from tests.incidents.drills.shortening import shorten_expression
from tests.incidents.drills.sight import first_seen
from tests.incidents.drills.watchtower import Watchtower

# Nobody listens at port 9.
TROUBLE = {
    "SIDECAR_DRAIN_DELAY_SECONDS": "soon",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_BSP_EXPORT_TIMEOUT": "1000",
    "SIDECAR_VERIFY_PERCENT": "50",
}
ANSWER_SECONDS = 60.0
HEALTHY = {"SidecarWatchdog"}
# Tells why PostgreSQL cannot be used, and nothing while it can.
QUIET = "sidecar_cause"


def queries() -> dict[str, str]:
    """Give every query of panels, rules and runbooks, by where it stands."""
    panels = {
        f"{board['uid']} {panel['id']} {target['refId']}": target["expr"]
        for board in source.boards()
        for panel in board["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
    }
    records = {rule["record"]: rule["record"] for rule in source.rules() if "record" in rule}
    pages = {page.stem: bare(query_of(page)) for page in PAGES}
    told = panels | records | pages
    return {name: query for name, query in told.items() if QUIET not in metric_names(query)}


def bare(query: str) -> str:
    """Leave away what makes a query of a page quiet while nothing is wrong."""
    return query.partition(" == 1")[0].partition(" > 0")[0].partition(" unless ")[0]


def asked(query: str) -> str:
    return shorten_expression(without_variables(query).replace("[5m]", "[100m]"))


@pytest.mark.timeout(240)
async def test_every_query_of_panels_rules_and_runbooks_returns_data(tmp_path: Path) -> None:
    async with watched_demo(tmp_path, poison_every_seconds=2.0, **TROUBLE) as tower:
        waiting = queries()

        async def are_answered() -> bool:
            for name, query in list(waiting.items()):
                if await tower.query(asked(query)):
                    del waiting[name]
            return not waiting

        seconds = await first_seen(are_answered, ANSWER_SECONDS)
        assert seconds is not None, waiting


@pytest.mark.timeout(900)
async def test_healthy_load_fires_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with watched_demo(tmp_path, poison_every_seconds=0.0) as tower:
        await asyncio.sleep(request.config.getoption("--healthy-seconds"))
        assert await fired(tower) == HEALTHY
        assert tower.receiver.names() == set()
        assert tower.receiver.find("SidecarWatchdog", "firing") is not None


async def fired(tower: Watchtower) -> set[str]:
    """Tell which alerts were on at any moment."""
    found: list[Any] = await tower.query('count_over_time(ALERTS{alertstate="firing"}[1h])')
    return {one["metric"]["alertname"] for one in found}
