"""Prometheus accepts the rules, and each alert fires, stays quiet and resolves when it should."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards import source
from tests.dashboards.command import run
from tests.dashboards.expression import label_lists, matchers, without_variables
from tests.dashboards.runbook import PAGES

ALERTS = source.alerts()
SERVICE = {"cluster", "namespace", "service"}
# What Prometheus tells of a target carries no service.
TARGET = {"cluster", "namespace", "job", "instance"}


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
        for number, expr in enumerate(
            [*source.panel_expressions(), *source.annotation_expressions()]
        )
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(binary("promtool"), "check", "rules", path)


def test_each_runbook_has_its_alert_and_no_alert_is_there_twice() -> None:
    names = [rule["alert"] for rule in source.rules() if "alert" in rule]
    assert sorted(names) == [page.stem for page in PAGES]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_severity_summary_description_runbook_and_dashboard(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    always = {"summary", "description", "runbook_url", "dashboard_url"}
    assert set(rule["annotations"]) - {"error_type", "cause"} == always
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


@pytest.mark.parametrize(
    "rule", source.rules(), ids=lambda rule: rule.get("alert") or rule["record"]
)
def test_no_fold_and_no_match_merges_services(rule: dict[str, Any]) -> None:
    for labels in label_lists(rule["expr"]):
        assert labels >= SERVICE or labels == TARGET, labels


def test_no_rule_knows_the_name_of_a_job() -> None:
    told = [matcher for rule in source.rules() for matcher in matchers(rule["expr"])]
    assert not [matcher for matcher in told if matcher.label in SERVICE | TARGET]


def test_the_scrape_lets_no_application_pass_for_another_target() -> None:
    config: dict[str, Any] = source.read(source.RULES.with_name("prometheus.yaml"))
    (job,) = config["scrape_configs"]
    assert job["honor_labels"] is False
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8686"]}]
