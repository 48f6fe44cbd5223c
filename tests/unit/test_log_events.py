"""Every log event is declared, and every declared one is logged as it is declared."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import sidecar
from sidecar.telemetry.attribute import ATTRIBUTES
from sidecar.telemetry.log_event import LOG_EVENTS, LogEvent
from sidecar.telemetry.metric import INSTRUMENTS

PRODUCT = Path(sidecar.__file__).parent
NAME = re.compile(r"sidecar(?:\.[a-z_]+|\.\{[a-z]+\}){2,}")
DECLARED = {event.name: event for event in LOG_EVENTS}
DECLARATIONS = {"attribute.py", "log_event.py", "metric.py"}
LEVELS = {
    **{level: level for level in ("debug", "info", "warning", "error", "critical")},
    "exception": "error",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One call of a logger that names an event.

    Attributes:
        levels: None where a table decides.
        attributes: Keys of its `extra`, as far as they are literal.
        is_closed: Whether all of them are.
    """

    where: str
    event: str
    levels: frozenset[str] | None
    attributes: frozenset[str]
    is_closed: bool


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PRODUCT.rglob("*.py")):
        if not (path.parent.name == "telemetry" and path.name in DECLARATIONS):
            yield path, ast.parse(path.read_text("utf-8"))


def is_module(name: str) -> bool:
    path = PRODUCT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def text_of(node: ast.AST) -> str | None:
    """Give a text as declarations spell it, what is filled in by its last name in braces."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{" + ast.unparse(node.value).rsplit(".", maxsplit=1)[-1] + "}"
    return None


@cache
def used() -> frozenset[str]:
    """Give whatever is spelled as the name of an event, but modules, metrics and attributes."""
    others = {each.name for each in INSTRUMENTS} | set(ATTRIBUTES)
    found = {
        text
        for _, tree in sources()
        for node in ast.walk(tree)
        if (text := text_of(node)) and NAME.fullmatch(text) and not is_module(text)
    }
    return frozenset(name for name in found if name in DECLARED or name not in others)


@cache
def lines() -> tuple[Line, ...]:
    return tuple(
        line
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (line := read_line(path, node)) is not None
    )


def read_line(path: Path, call: ast.Call) -> Line | None:
    extras = [word.value for word in call.keywords if word.arg == "extra"]
    if not extras or not isinstance(extras[0], ast.Dict):
        return None
    keys = [text_of(key) if key is not None else None for key in extras[0].keys]
    entries = dict(zip(keys, extras[0].values, strict=True))
    event = text_of(entries["event"]) if "event" in entries else None
    if event is None:
        return None
    where = f"{path.relative_to(PRODUCT)}:{call.lineno}"
    attributes = frozenset(key for key in keys if key is not None) - {"event"}
    return Line(where, event, levels_of(call), attributes, None not in keys)


def levels_of(call: ast.Call) -> frozenset[str] | None:
    """Give the levels of a call; None where a table decides."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr != "log":
        return frozenset({LEVELS[call.func.attr]})
    if any(isinstance(node, ast.Subscript) for node in ast.walk(call.args[0])):
        return None
    names = (node.attr for node in ast.walk(call.args[0]) if isinstance(node, ast.Attribute))
    return frozenset(name.lower() for name in names if name.isupper() and name.lower() in LEVELS)


def test_every_event_that_is_logged_is_declared() -> None:
    assert used() - DECLARED.keys() == set()


def test_every_declared_event_is_logged() -> None:
    assert DECLARED.keys() - used() == set()


def test_an_event_is_declared_once() -> None:
    assert len(DECLARED) == len(LOG_EVENTS)


def test_most_lines_are_read() -> None:
    assert len(lines()) > 40


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.where)
def test_a_line_has_the_level_and_the_attributes_of_its_event(line: Line) -> None:
    event = DECLARED[line.event]
    assert line.levels is None or line.levels <= set(event.levels)
    assert line.attributes <= set(event.attributes)


@pytest.mark.parametrize("event", LOG_EVENTS, ids=lambda event: event.name)
def test_every_declared_attribute_is_given_by_a_line(event: LogEvent) -> None:
    known = [line for line in lines() if line.event == event.name]
    if known and all(line.is_closed for line in known):
        assert set(event.attributes) == {each for line in known for each in line.attributes}
