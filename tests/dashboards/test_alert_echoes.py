"""What a cause silences is not told just after its cure: the cause is kept until that is over."""

import pytest

from tests.dashboards import source
from tests.dashboards.inhibition import CONFIG, pairs_of
from tests.dashboards.look_back import kept_seconds, look_back_seconds

ALERTS = source.alerts()
# They tell of days, and are as true hours after the last fault: no keep could outlast that.
OF_DAYS = {"SidecarPublishBudgetBurnSlow", "SidecarFreshnessBudgetBurnSlow"}
# What is down tells nothing. Whatever happened meanwhile is news when it is back.
BLIND = "SidecarDown"
PAIRS = sorted(
    {
        (cause, symptom)
        for rule in CONFIG["inhibit_rules"]
        for cause, symptom in pairs_of(rule)
        if cause not in {BLIND, symptom}
        and symptom not in OF_DAYS
        and ALERTS[symptom]["labels"]["severity"] != "info"
    }
)


def afterlife_seconds(name: str) -> int:
    """Give for how long it goes on firing, at most, when nothing is wrong any more."""
    return look_back_seconds(ALERTS[name]["expr"]) + kept_seconds(ALERTS[name])


@pytest.mark.parametrize(("cause", "symptom"), PAIRS)
def test_a_cause_is_kept_for_as_long_as_its_symptom_looks_back(cause: str, symptom: str) -> None:
    # One group is reckoned in one go; two are reckoned at different moments.
    spare = 0 if group_of(cause) == group_of(symptom) or not afterlife_seconds(symptom) else 1
    assert kept_seconds(ALERTS[cause]) >= afterlife_seconds(symptom) + spare


def group_of(name: str) -> str:
    (group,) = [
        group["name"]
        for group in source.read(source.RULES)["groups"]
        if name in {rule.get("alert") for rule in group["rules"]}
    ]
    return str(group)


@pytest.mark.parametrize(
    ("expr", "seconds"),
    [
        ("up == 0", 0),
        ("increase(a[10m]) > 0", 600),
        ("sum by (job) (rate(a[5m]) or rate(b[1h])) > 0", 3600),
        ("(a[5m] > 1 and a[1h] > 1 or a[30m] > 1 and a[6h] > 1) and on (job) b[2m] > 1", 120),
        ("a > 0 unless on (job) changes(b[1m]) > 0", 0),
        ("a - min_over_time(a[15m]) > 20", 900),
        ("a unless last_over_time(a[1d] offset 10m) or a - a[1d] offset 10m", 0),
        ("service:sidecar_delivery_failures:ratio_rate30m > 6 * 0.001", 1800),
    ],
)
def test_how_far_an_expression_looks_back(expr: str, seconds: int) -> None:
    assert look_back_seconds(expr) == seconds
