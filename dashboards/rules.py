"""The rules, as far as boards and numbers are bound to them.

A rule names its limits in a comment above it, `# Limits: LAG_SECONDS`, in the order of its
expression; the numbers that it is compared with are filled in. 0 is no limit but a state. Burn
rates are found by their two windows. An alert names its panel in `dashboard_url`.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from dashboards import thresholds

RULES: Final = Path(__file__).parent / "prometheus" / "rules.yaml"
_PANEL: Final = re.compile(r"d/([\w-]+)\?.*\bviewPanel=(\d+)")
_NAMED: Final = re.compile(r"# Limits: ([A-Z_, ]+)\n")
_COMPARED: Final = re.compile(r"([<>]=? )(\d+(?:\.\d+)?)(?![\d.]| \*)")
_BUDGETS: Final = {
    "delivery_failures": thresholds.PUBLISH_BUDGET_RATIO,
    "projection_stale": thresholds.FRESHNESS_BUDGET_RATIO,
}


@cache
def find_alerts(board: str, panel: int) -> tuple[str, ...]:
    """Give the alerts that lead to a panel, in the order of the rules."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return tuple(
        rule["alert"]
        for rule in alerts
        if (link := _PANEL.fullmatch(rule["annotations"]["dashboard_url"]))
        and (link[1], int(link[2])) == (board, panel)
    )


def fill_limits(rules: str) -> str:
    """Return the rules with the numbers of today.

    Raises:
        ValueError: A rule compares with more or fewer numbers than it names.
    """
    first, *others = re.split(r"(?=\n\n)", _fill_burn_rates(rules))
    return "".join([first, *map(_fill_rule, others)])


def _fill_rule(rule: str) -> str:
    named = _NAMED.search(rule)
    limits = iter(named[1].split(", ") if named else ())
    expression = rule.partition("annotations:")[0]
    filled = _COMPARED.sub(lambda found: _fill(found, limits), expression)
    if left := list(limits):
        raise ValueError(f"{left} is compared with nothing in: {rule}")
    return rule.replace(expression, filled, 1)


def _fill(found: re.Match[str], limits: Iterator[str]) -> str:
    comparison, number = found.groups()
    if float(number) == 0:
        return found[0]
    name = next(limits, None)
    if name is None:
        raise ValueError(f"{found[0]} is compared with, and no limit of the rule names it")
    return f"{comparison}{getattr(thresholds, name):g}"


def _fill_burn_rates(rules: str) -> str:
    for (short, long), factor in thresholds.BURN_FACTORS.items():
        for what, budget in _BUDGETS.items():
            burn = rf"(?P<burn>\S+:\S+{what}:ratio(?:_rate)?)"
            both = rf"{burn}{short} > \S+ \* \S+ and (?P=burn){long} > \S+ \* \S+"
            limit = f"{factor:g} * {budget:g}"
            rules = re.sub(both, rf"\g<burn>{short} > {limit} and \g<burn>{long} > {limit}", rules)
    return rules
