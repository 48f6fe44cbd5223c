"""The budget of a month is that of a month, and a panel shows when it is spent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from tests.dashboards import source
from tests.dashboards.alert_case import APPLIED, FAILED, LAG
from tests.dashboards.command import run
from tests.dashboards.expression import metric_names, without_variables

(SPENT,) = [panel for panel in source.panels() if panel["title"] == "Budget spent"]
DAYS: Final = 20
BAD_MINUTES: Final = 24 * 60
GOOD_MINUTES: Final = DAYS * 24 * 60 - BAD_MINUTES
# As many fail as arrive, and read models are late, for the first day.
SERIES: Final = {
    APPLIED: f"0+100x{BAD_MINUTES + GOOD_MINUTES}",
    FAILED: f"0+100x{BAD_MINUTES} {100 * BAD_MINUTES}x{GOOD_MINUTES}",
    LAG: f"90x{BAD_MINUTES} 0x{GOOD_MINUTES}",
}


def rules_behind(expr: str) -> list[dict[str, Any]]:
    """Give the recording rules that an expression rests on, those that come first before."""
    found = [rule for rule in source.rules() if rule.get("record") in metric_names(expr)]
    return [one for rule in found for one in (*rules_behind(rule["expr"]), rule)]


def test_what_was_spent_weeks_ago_is_still_spent(
    binary: Callable[[str], str], tmp_path: Path
) -> None:
    deliveries, freshness = (target["expr"] for target in SPENT["targets"])
    groups = [{"name": "budgets", "rules": [*rules_behind(deliveries), *rules_behind(freshness)]}]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    whose = '{cluster="east", namespace="web", service="shop"}'
    asked = [
        {
            "expr": f"round({without_variables(expr)})",
            "eval_time": f"{DAYS}d",
            "exp_samples": [{"labels": whose, "value": value}],
        }
        # 1 of 21 days' deliveries, of 0.1 %; 1 of 20 days, of 1 %.
        for expr, value in ((deliveries, 48), (freshness, 5))
    ]
    given = [{"series": name, "values": values} for name, values in SERIES.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": asked}
    cases = {"rule_files": ["rules.yaml"], "evaluation_interval": "30m", "tests": [test]}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(cases))
    run(binary("promtool"), "test", "rules", tmp_path / "case.yaml")


def test_a_budget_that_is_spent_is_red() -> None:
    steps = SPENT["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert (steps[-1]["color"], steps[-1]["value"]) == ("red", 1)


def test_an_objective_is_a_line_that_the_axis_reaches() -> None:
    for title in ("Deliveries that fail", "Time that projections are late"):
        (panel,) = [panel for panel in source.panels() if panel["title"] == title]
        shown = panel["fieldConfig"]["defaults"]
        assert shown["custom"]["thresholdsStyle"]["mode"] == "line"
        assert shown["custom"]["axisSoftMax"] > shown["thresholds"]["steps"][-1]["value"]
