"""How far an expression looks back, so that it still holds when what it tells of is over."""

import re
from typing import Any, Final

from tests.dashboards import source

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# What is offset is only compared with.
_WINDOW: Final = re.compile(r"\[(\d+[smhd])\](?! offset)")
_RECORDED: Final = re.compile(r"[a-z_]+:[a-z_]+:\w+")
_GROUP: Final = re.compile(r"\(([^()]*)\)")


def seconds_of(duration: str) -> int:
    return int(duration[:-1]) * _UNITS[duration[-1]]


def kept_seconds(rule: dict[str, Any]) -> int:
    return seconds_of(rule.get("keep_firing_for", "0s"))


def look_back_seconds(expr: str) -> int:
    """Give for how long at most it holds on.

    `A and B` ends with the first of both, `A or B` with the last, and `A unless B` with A.
    """
    values: list[int] = []

    def reckon(found: re.Match[str]) -> str:
        values.append(_of_alternatives(found[1], values))
        return f" #{len(values) - 1} "

    text = re.sub(r'"[^"]*"', "", expr)
    while _GROUP.search(text):
        text = _GROUP.sub(reckon, text)
    return _of_alternatives(text, values)


def _of_alternatives(text: str, values: list[int]) -> int:
    return max(_of_conditions(part, values) for part in re.split(r"\bor\b", text))


def _of_conditions(text: str, values: list[int]) -> int:
    kept = re.split(r"\bunless\b", text)[0]
    return min(_of_term(part, values) for part in re.split(r"\band\b(?: on #\d+)?", kept))


def _of_term(text: str, values: list[int]) -> int:
    windows = [seconds_of(window) for window in _WINDOW.findall(text)]
    groups = [values[int(number)] for number in re.findall(r"#(\d+)", text)]
    recorded = [look_back_seconds(_expression(name)) for name in _RECORDED.findall(text)]
    return max((*windows, *groups, *recorded), default=0)


def _expression(record: str) -> str:
    (rule,) = [rule for rule in source.rules() if rule.get("record") == record]
    return str(rule["expr"])
