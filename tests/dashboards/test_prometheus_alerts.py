"""Every alert fires, stays quiet just short of that, resolves, and copes with stale series.

What promtool calls a test of alerts wants every annotation word for word; rules_test.yaml does
that. Here the series `ALERTS` is asked instead, so that a case is only numbers.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import thresholds
from dashboards.rules import fill_limits
from sidecar.config.settings import Settings
from sidecar.projections.projection_status import STALL_SECONDS
from sidecar.wiring.checks.database import HOLD_WARN_SECONDS, SLOW_SECONDS
from sidecar.wiring.checks.this_process import LOOP_LAG_LIMIT_SECONDS
from tests.dashboards import source
from tests.dashboards.alert_burn_case import BURN_CASES
from tests.dashboards.alert_case import CASES as OTHER_CASES
from tests.dashboards.alert_case import (
    HEAD,
    LABELS_SERVICE,
    LAG,
    AlertCase,
    Series,
    count,
    during,
)
from tests.dashboards.command import run

CASES = OTHER_CASES | BURN_CASES
each_case = pytest.mark.parametrize("name", CASES)
END_MINUTES = 1000


def ask(name: str, minute: int, *carried: dict[str, str]) -> dict[str, Any]:
    """Expect that the alert fires once for each of these labels, and not beside them."""
    expr = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
    expected = [{"labels": told(name, labels), "value": 1} for labels in carried]
    return {"expr": expr, "eval_time": f"{minute}m", "exp_samples": expected}


def told(name: str, labels: dict[str, str]) -> str:
    severity = source.alerts()[name]["labels"]["severity"]
    words = {"alertname": name, "alertstate": "firing", "severity": severity, **labels}
    listed = ", ".join(f'{key}="{value}"' for key, value in sorted(words.items()))
    return f"ALERTS{{{listed}}}"


def check(promtool: str, folder: Path, series: Series, *questions: dict[str, Any]) -> None:
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": list(questions),
    }
    path = folder / "case.yaml"
    path.write_text(
        yaml.safe_dump(
            {"rule_files": [str(source.RULES)], "evaluation_interval": "1m", "tests": [test]}
        )
    )
    run(promtool, "test", "rules", path)


def after(case: AlertCase, ending: Series) -> Series:
    """Give the fault's series, and what comes after the fault."""
    begun = during(case)
    gap = {name: f"_x{case.minutes}" for name in ending if name not in begun}
    given = {name: values.format(n=END_MINUTES) for name, values in ending.items()}
    return {name: f"{(begun | gap)[name]} {given.get(name, 'stale')}" for name in begun | gap}


def elsewhere(series: Series, **labels: str) -> Series:
    """Give the same series of another service, told apart by these labels only."""
    return {_relabel(name, labels): values for name, values in series.items()}


def _relabel(name: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        name = re.sub(rf'\b{label}="[^"]*"', f'{label}="{value}"', name)
    return name


def test_every_alert_but_the_watchdog_has_a_case() -> None:
    assert CASES.keys() | {"SidecarWatchdog"} == source.alerts().keys()


@each_case
def test_it_fires_when_it_has_lasted_for_each_that_is_ill_and_for_no_sound_neighbour(
    binary: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    ill, sound = during(case), {key: text.format(n=200) for key, text in case.quiet.items()}
    series = (
        ill
        | elsewhere(ill, cluster="west")
        | elsewhere(sound, service="bills", instance="b:8686")
        | elsewhere(sound, namespace="back")
    )
    both = (case.labels, case.labels | {"cluster": "west"})
    questions = (ask(name, case.before), ask(name, case.fires_at, *both))
    check(binary("promtool"), tmp_path, series, *questions)


@each_case
def test_it_stays_quiet_just_short_of_it(
    binary: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    series = {key: values.format(n=END_MINUTES) for key, values in case.quiet.items()}
    minutes = (case.before, case.fires_at, case.fires_at + 20)
    check(binary("promtool"), tmp_path, series, *(ask(name, one) for one in minutes))


@each_case
def test_it_resolves_after_the_cure(
    binary: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    end = max(count(values) for values in during(case).values())
    questions = (
        ask(name, case.fires_at, case.labels),
        ask(name, end + case.resolves_after),
    )
    check(binary("promtool"), tmp_path, after(case, case.cured), *questions)


@each_case
def test_it_ends_with_the_series_that_told_it(
    binary: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    stale = dict.fromkeys(case.fires, "stale")
    end = max(count(values) for values in during(case).values())
    ended = [LABELS_SERVICE] if case.when_stale else []
    minute = end + case.resolves_after
    check(binary("promtool"), tmp_path, after(case, stale), ask(name, minute, *ended))


def test_late_again_and_again_is_one_page(binary: Callable[[str], str], tmp_path: Path) -> None:
    name = "SidecarFreshnessBudgetBurn"
    series = {LAG: "90 0x8 " * 12, HEAD: "0+10x200"}
    asked = (ask(name, minute, CASES[name].labels) for minute in range(70, 90))
    check(binary("promtool"), tmp_path, series, *asked)


def test_the_watchdog_always_fires(binary: Callable[[str], str], tmp_path: Path) -> None:
    asked = [ask("SidecarWatchdog", minute, {}) for minute in (0, 10)]
    check(binary("promtool"), tmp_path, {'up{job="sidecar"}': "1x10"}, *asked)


def test_the_rules_have_the_numbers_of_the_table() -> None:
    assert source.RULES.read_text(encoding="utf-8") == fill_limits(
        source.RULES.read_text(encoding="utf-8")
    ), "run `make dashboards`"


def test_a_number_of_the_table_is_filled_into_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "LAG_SECONDS", 47.5)
    monkeypatch.setitem(thresholds.BURN_FACTORS, ("5m", "1h"), 15.5)
    filled = fill_limits(source.RULES.read_text(encoding="utf-8"))
    assert "(sidecar_projection_lag_seconds) > 47.5\n" in filled
    assert filled.count("ratio_rate1h > 15.5 * 0.001") == 2


@pytest.mark.parametrize("named", ["", "# Limits: LAG_SECONDS, HELD_SECONDS\n"])
def test_a_rule_names_each_number_that_it_compares_with_and_no_other(named: str) -> None:
    with pytest.raises(ValueError, match="compared with"):
        fill_limits(f"groups:\n\n{named}- alert: A\n  expr: lag > 30\n")


def test_alerts_and_health_checks_share_their_thresholds() -> None:
    assert Settings().lag_limit_seconds == thresholds.LAG_SECONDS
    assert STALL_SECONDS == thresholds.STALL_SECONDS
    assert HOLD_WARN_SECONDS == thresholds.HELD_SECONDS
    assert SLOW_SECONDS == thresholds.STORE_SLOW_SECONDS
    assert LOOP_LAG_LIMIT_SECONDS == thresholds.LOOP_LAG_SECONDS


@each_case
def test_annotations_use_only_labels_that_the_alert_carries(name: str) -> None:
    text = " ".join(source.alerts()[name]["annotations"].values())
    carried = CASES[name].labels.keys()
    assert source.template_labels(text) <= carried


def test_burn_rates_follow_the_table() -> None:
    exprs = " ".join(rule["expr"] for rule in source.rules() if "alert" in rule)
    for (short, long), factor in thresholds.BURN_FACTORS.items():
        for prefix, budget in (
            ("service:sidecar_delivery_failures:ratio_rate", thresholds.PUBLISH_BUDGET_RATIO),
            (
                "service_kind_projection:sidecar_delivery_failures:ratio_rate",
                thresholds.PUBLISH_BUDGET_RATIO,
            ),
            (
                "service_projection:sidecar_projection_stale:ratio",
                thresholds.FRESHNESS_BUDGET_RATIO,
            ),
        ):
            both = (f"{prefix}{window} > {factor:g} * {budget:g}" for window in (short, long))
            assert " and ".join(both) in exprs
