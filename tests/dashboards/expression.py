"""As much understanding of PromQL as it takes to hold an expression against the contract."""

import re
from dataclasses import dataclass

_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_KEPT = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_NOT_NAMES = re.compile(rf'\{{[^}}]*\}}|"[^"]*"|\[[^\]]*\]|{_LABELS.pattern}|\boffset\s+\w+')
_NAME = re.compile(r"(?<![\w:.$])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()")
_OPERATORS = {"and", "or", "unless", "bool"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One `label op "value"` of a selector."""

    metric: str
    label: str
    operator: str
    value: str


def metric_names(expr: str) -> set[str]:
    return set(_NAME.findall(_NOT_NAMES.sub(" ", expr))) - _OPERATORS


def matchers(expr: str) -> list[Matcher]:
    return [
        Matcher(metric, *found)
        for metric, inside in _SELECTOR.findall(expr)
        for found in _MATCHER.findall(inside)
    ]


def selectors(expr: str) -> list[tuple[str, str]]:
    return _SELECTOR.findall(expr)


def grouped_labels(expr: str) -> set[str]:
    listed = ", ".join(_LABELS.findall(expr)).split(",")
    return {name.strip() for name in listed} - {""}


def label_lists(expr: str) -> list[set[str]]:
    """Give what each `by` and each `on` keeps."""
    return [{name.strip() for name in listed.split(",")} for listed in _KEPT.findall(expr)]


def without_variables(expr: str) -> str:
    """Replace what Grafana would, so that Prometheus can parse the expression."""
    expr = expr.replace("$__rate_interval", "5m")
    # "All" of what no scrape need add is also none.
    expr = re.sub(r"\$(cluster|namespace|service)\b", ".*", expr)
    return re.sub(r"\$\w+", ".+", expr)
