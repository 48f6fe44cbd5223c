"""Prometheus accepts the rules, and each alert fires, stays quiet and resolves when it should."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards import source
from tests.dashboards.command import run
from tests.dashboards.expression import without_variables

EXPECTED = {
    "SidecarConfigInvalid",
    "SidecarDeadLetters",
    "SidecarDown",
    "SidecarNotReady",
    "SidecarPoolSaturated",
    "SidecarProjectionFailing",
    "SidecarProjectionLagHigh",
    "SidecarProjectionLoopDead",
    "SidecarWorkerRestarting",
}
ALERTS = source.alerts()


def test_promtool_finds_nothing_to_criticise_in_the_rules(binary: Callable[[str], str]) -> None:
    run(binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", source.RULES)


def test_the_rules_pass_their_unit_tests(binary: Callable[[str], str]) -> None:
    run(binary("promtool"), "test", "rules", source.RULES_TEST)


def test_promtool_accepts_the_scrape_configuration(binary: Callable[[str], str]) -> None:
    run(binary("promtool"), "check", "config", source.RULES.with_name("prometheus.yaml"))


def test_prometheus_parses_every_expression_of_a_panel(
    binary: Callable[[str], str], tmp_path: Path
) -> None:
    rules = [
        {"record": f"panel:expression:{number}", "expr": without_variables(expr)}
        for number, expr in enumerate(source.panel_expressions())
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(binary("promtool"), "check", "rules", path)


def test_all_alerts_are_there_and_none_twice() -> None:
    names = [rule["alert"] for rule in source.rules() if "alert" in rule]
    assert sorted(names) == sorted(EXPECTED)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_severity_summary_description_runbook_and_dashboard(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["annotations"]["runbook_url"] == f"dashboards/runbooks/{name}.md"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_links_to_a_panel_that_names_it(name: str) -> None:
    url = ALERTS[name]["annotations"]["dashboard_url"]
    link = re.fullmatch(r"d/([\w-]+)\?.*\bviewPanel=(\d+)", url)
    assert link
    uid, panel_id = link.groups()
    board = next(board for board in source.boards() if board["uid"] == uid)
    panel = next(panel for panel in board["panels"] if panel["id"] == int(panel_id))
    assert f"Alert: {name}." in panel["description"]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_firing_and_a_quiet_case_and_resolves(name: str) -> None:
    groups: dict[str, list[source.Case]] = {}
    for case in source.cases():
        if case.alert == name:
            groups.setdefault(case.group, []).append(case)
    assert any(not case.fires for cases in groups.values() for case in cases)
    assert any(resolves(cases) for cases in groups.values())
    assert any(stays_quiet(cases) for cases in groups.values())


def resolves(cases: list[source.Case]) -> bool:
    fired = [case.minute for case in cases if case.fires]
    return bool(fired) and any(not case.fires and case.minute > max(fired) for case in cases)


def stays_quiet(cases: list[source.Case]) -> bool:
    return not any(case.fires for case in cases)


def test_the_scrape_job_has_the_name_that_the_rules_expect() -> None:
    config: dict[str, Any] = source.read(source.RULES.with_name("prometheus.yaml"))
    (job,) = config["scrape_configs"]
    assert f'up{{job="{job["job_name"]}"}}' in ALERTS["SidecarDown"]["expr"]
    assert job["honor_labels"] is False
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8686"]}]
