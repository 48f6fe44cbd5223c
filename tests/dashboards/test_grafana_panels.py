"""The panels keep the rules of grafana/dashboard-linter, by the names that they have there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.promql import SERVICE
from tests.dashboards import source
from tests.dashboards.command import run
from tests.dashboards.expression import (
    label_lists,
    metric_names,
    selectors,
    without_variables,
)

PANELS = source.panels()
EXPRESSIONS = source.panel_expressions()
# Beside the recorded name that has one, what Prometheus tells of a target has no service.
OF_PROMETHEUS = {"up", "scrape_samples_scraped", "scrape_duration_seconds"}
TARGET = {"cluster", "namespace", "job", "instance"}
WHOSE = 'cluster="east", namespace="web", service="shop"'
ONE = f'{WHOSE}, job="shop", instance="a:8686"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
each_expression = pytest.mark.parametrize("expr", EXPRESSIONS)


@each_panel
def test_panel_datasource(panel: dict[str, Any]) -> None:
    asked = [panel, *panel["targets"]]
    assert all(one["datasource"] == SOURCE for one in asked)


@each_panel
def test_panel_title_description(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 20


@each_panel
def test_a_description_names_its_alert_and_runbook(panel: dict[str, Any]) -> None:
    links = re.findall(
        r"^Alert: (\w+)\. Runbook: dashboards/runbooks/(\w+)\.md$",
        panel["description"],
        re.MULTILINE,
    )
    assert links
    assert all(alert == page for alert, page in links)
    named = set(re.findall(r"\bSidecar[A-Z]\w+", panel["description"]))
    assert named <= source.alerts().keys()


def test_failures_and_slow_batches_lead_to_their_traces() -> None:
    linked = {panel["title"]: panel["fieldConfig"]["defaults"].get("links") for panel in PANELS}
    for title in ("Failures", "Time for a batch"):
        (link,) = linked[title]
        pane = json.loads(link["url"].partition("&panes=")[2])["traces"]
        assert pane["datasource"] == "${traces}"
        assert "messaging.consumer.group.name" in pane["queries"][0]["query"]


@each_panel
def test_panel_units(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] in {
        "eps",
        "none",
        "ops",
        "percentunit",
        "s",
        "short",
    }


@each_panel
def test_panel_thresholds_ascend_from_good(panel: dict[str, Any]) -> None:
    first, *others = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert first == {"color": "green", "value": None}
    values = [step["value"] for step in others]
    assert values == sorted(set(values))


@each_panel
def test_panel_no_targets(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references))
    assert all(target["legendFormat"] for target in panel["targets"])


@each_expression
def test_target_job_and_target_instance(expr: str) -> None:
    selected = selectors(expr)
    assert {metric for metric, _ in selected} == metric_names(expr)
    for metric, inside in selected:
        # What rules recorded, and alerts, are about whole services.
        if ":" not in metric and metric != "ALERTS":
            assert 'job=~"$job"' in inside
            assert 'instance=~"$instance"' in inside


@each_expression
def test_no_panel_merges_services_or_shows_one_that_was_not_chosen(expr: str) -> None:
    for metric, inside in selectors(expr):
        chosen = {label for label in SERVICE if f'{label}=~"${label}' in inside}
        assert chosen == (set() if metric in OF_PROMETHEUS else set(SERVICE))
    for labels in label_lists(expr):
        assert labels >= set(SERVICE) or labels == TARGET, expr


@each_panel
def test_a_legend_says_which_service(panel: dict[str, Any]) -> None:
    starts = " ".join(f"{{{{{label}}}}}" for label in SERVICE)
    assert all(target["legendFormat"].startswith(starts) for target in panel["targets"])


@each_expression
def test_target_projection_and_target_pool(expr: str) -> None:
    for metric, inside in selectors(expr):
        known = source.metrics().get(metric)
        labels = known.labels.keys() if known else set()
        for label in {"projection", "messaging_consumer_group_name"} & labels:
            assert f'{label}=~"$projection"' in inside
        if "db_client_connection_pool_name" in labels:
            assert 'db_client_connection_pool_name=~"$pool"' in inside


@each_expression
def test_target_rate_interval(expr: str) -> None:
    assert set(re.findall(r"\[([^\]]*)\]", expr)) <= {"$__rate_interval"}


@each_expression
def test_target_counter_agg(expr: str) -> None:
    for metric in metric_names(expr):
        if metric.endswith(("_total", "_bucket")):
            uses = re.findall(rf"(\w*)\(?\b{metric}\b", expr)
            assert set(uses) <= {"rate", "increase"}


@pytest.mark.parametrize(
    ("title", "series", "codes"),
    [
        pytest.param(
            "Checks",
            {
                'sidecar_check_status{check="database", status="pass"': 0,
                'sidecar_check_status{check="database", status="fail"': 1,
                'sidecar_check_status{check="loop", status="pass"': 1,
                'sidecar_check_status{check="loop", status="fail"': 0,
            },
            {
                f'{{check="database", instance="a:8686", {WHOSE}}}': 2,
                f'{{check="loop", instance="a:8686", {WHOSE}}}': 0,
            },
            id="checks",
        ),
        pytest.param(
            "Status",
            {
                'sidecar_projection_status{projection="orders", status="caught_up"': 0,
                'sidecar_projection_status{projection="orders", status="paused"': 1,
                'sidecar_projection_status{projection="orders", status="failed"': 0,
            },
            {f'{{projection="orders", {WHOSE}}}': 3},
            id="projections",
        ),
        pytest.param(
            "Readiness",
            {'sidecar_ready{process="probe"': 0, 'sidecar_draining{process="probe"': 1},
            {f'{{instance="a:8686", {WHOSE}}}': 2},
            id="readiness",
        ),
    ],
)
def test_a_panel_of_states_tells_the_one_that_is_on(
    binary: Callable[[str], str],
    tmp_path: Path,
    title: str,
    series: dict[str, int],
    codes: dict[str, int],
) -> None:
    panel = next(panel for panel in PANELS if panel["title"] == title)
    given = [
        {"series": f"{start}, {ONE}}}", "values": str(value)} for start, value in series.items()
    ]
    expected = {
        "expr": without_variables(panel["targets"][0]["expr"]),
        "eval_time": "0m",
        "exp_samples": [{"labels": labels, "value": code} for labels, code in codes.items()],
    }
    path = tmp_path / "states.yaml"
    test = {"input_series": given, "promql_expr_test": [expected]}
    path.write_text(yaml.safe_dump({"tests": [test]}))
    run(binary("promtool"), "test", "rules", path)
