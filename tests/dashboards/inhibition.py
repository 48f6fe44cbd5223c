"""Which alert silences which, by the rules of Alertmanager's configuration."""

import itertools
import re
from typing import Any, Final

from tests.dashboards import source
from tests.dashboards.alert_burn_case import BURN_CASES
from tests.dashboards.alert_case import CASES

CONFIG: Final[dict[str, Any]] = source.read(source.ALERTMANAGER)
LABELS: Final = {
    name: case.labels | {"alertname": name} for name, case in (CASES | BURN_CASES).items()
}
"""What each alert carries, by its name."""


def matches(matcher: str, labels: dict[str, str]) -> bool:
    parsed = re.fullmatch(r'(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*)"?', matcher)
    assert parsed, matcher
    name, operator, value = parsed.groups()
    found = labels.get(name, "")
    same = bool(re.fullmatch(value, found)) if "~" in operator else found == value
    return same is not operator.startswith("!")


def fits(matchers: list[str], labels: dict[str, str]) -> bool:
    return all(matches(matcher, labels) for matcher in matchers)


def inhibited(target: dict[str, str], source_alert: dict[str, str]) -> bool:
    return any(
        fits(rule["source_matchers"], source_alert)
        and fits(rule["target_matchers"], target)
        and all(source_alert.get(name, "") == target.get(name, "") for name in rule["equal"])
        for rule in CONFIG["inhibit_rules"]
    )


def pairs_of(rule: dict[str, Any]) -> list[tuple[str, str]]:
    """Give each cause with each symptom of a rule, by name."""
    causes = [name for name, one in LABELS.items() if fits(rule["source_matchers"], one)]
    symptoms = [name for name, one in LABELS.items() if fits(rule["target_matchers"], one)]
    return list(itertools.product(causes, symptoms))
