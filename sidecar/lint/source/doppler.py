"""JSON of names and values: `doppler secrets download`, `doppler secrets --json`, and its API."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import cast

from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.builder import WorkloadBuilder

_NAME = re.compile(r'"(\w+)"\s*:')
_FIELDS = frozenset({"computed", "raw", "computedVisibility", "rawVisibility", "note"})

Pairs = list[tuple[str, object]]
"""A JSON object: names with their values, also where a name stands twice."""


def parse(text: str) -> Pairs | None:
    """Parse JSON; `None` for what is no object.

    Raises:
        json.JSONDecodeError: It is not JSON.
    """
    try:
        found = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=list)
    except RecursionError:
        return None
    return found if _is_object(found) else None


def secrets_in(pairs: Pairs) -> Pairs | None:
    """Return names and values; `None` for JSON of any other kind, such as a task definition."""
    answer = dict(pairs).get("secrets")
    named = cast("Pairs", answer) if _is_object(answer) else pairs
    is_doppler = all(is_plain_name(name) and _is_value(value) for name, value in named)
    return named if is_doppler else None


def read(pairs: Pairs, text: str, source: str) -> WorkloadBuilder:
    """Read every name; a value that is no text is read as its JSON.

    A restricted secret shows no value: it is promised.
    """
    builder = WorkloadBuilder()
    lines = _lines(text)
    for name, value in pairs:
        known = _text(value)
        if known is None:
            builder.promise(name)
        else:
            line = next(lines.get(name, iter(())), None)
            builder.put(Variable(name, known, source, line))
    return builder


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if _is_object(value):
        fields = dict(cast("Pairs", value))
        computed = fields.get("computed", fields.get("raw"))
        return computed if isinstance(computed, str) else None
    return "" if value is None else json.dumps(value)


def _lines(text: str) -> dict[str, Iterator[int]]:
    """Return where each name stands, in the order of the text."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    line, seen = 1, 0
    for name in _NAME.finditer(text):
        line += text.count("\n", seen, name.start())
        seen = name.start()
        found[name[1]].append(line)
    return {name: iter(places) for name, places in found.items()}


def _is_value(value: object) -> bool:
    if not isinstance(value, list):
        return True
    return bool(value) and _is_object(value) and dict(value).keys() <= _FIELDS


def _is_object(value: object) -> bool:
    """Return True for an object, False for a list, in JSON that was parsed into pairs."""
    return isinstance(value, list) and all(isinstance(each, tuple) for each in value)
