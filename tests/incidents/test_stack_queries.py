"""Against a program in which something of everything has happened, every query has an answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards import source
from tests.dashboards.expression import without_variables
from tests.dashboards.runbook import PAGES, query_of
from tests.incidents.patience import eventually
from tests.incidents.stack import Stack, running_stack
from tests.incidents.stack_fault import poisoned
from tests.incidents.stack_short import shorten_expression
from tests.postgres.cluster import Cluster

TROUBLE = {"SIDECAR_DRAIN_DELAY_SECONDS": "soon", "OTEL_BSP_EXPORT_TIMEOUT": "1000"}
ANSWER_SECONDS = 60.0
HEALTHY = {"SidecarWatchdog"}


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
    return panels | records | pages


def bare(query: str) -> str:
    """Leave away what makes a query of a page quiet while nothing is wrong."""
    return query.partition(" == 1")[0].partition(" > 0")[0].partition(" unless ")[0]


def asked(query: str) -> str:
    return shorten_expression(without_variables(query).replace("[5m]", "[100m]"))


@pytest.mark.timeout(240)
async def test_every_query_of_panels_rules_and_runbooks_returns_data(
    tmp_path: Path, private_cluster: Cluster
) -> None:
    dsn = private_cluster.dsn(await private_cluster.create_database())
    async with running_stack(tmp_path, dsn, **TROUBLE) as stack, poisoned(stack, private_cluster):
        await stack.collector.stop()
        waiting = queries()

        async def are_answered() -> bool:
            for name, query in list(waiting.items()):
                if await stack.query(asked(query)):
                    del waiting[name]
            return not waiting

        try:
            await eventually(are_answered, ANSWER_SECONDS)
        except AssertionError:
            raise AssertionError(waiting) from None


@pytest.mark.timeout(900)
async def test_healthy_load_fires_nothing(
    tmp_path: Path, private_cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    seconds: float = request.config.getoption("--stack-seconds")
    dsn = private_cluster.dsn(await private_cluster.create_database())
    async with running_stack(tmp_path, dsn) as stack:
        await asyncio.sleep(seconds)
        assert await fired(stack) == HEALTHY
        assert stack.receiver.names() == set()
        assert stack.receiver.find("SidecarWatchdog", "firing") is not None


async def fired(stack: Stack) -> set[str]:
    """Tell which alerts were on at any moment."""
    found: list[Any] = await stack.query('count_over_time(ALERTS{alertstate="firing"}[1h])')
    return {one["metric"]["alertname"] for one in found}
