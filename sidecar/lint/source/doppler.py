"""JSON of names and values: `doppler secrets download`, `doppler secrets --json`, and its API."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator

from sidecar.config.variable import Variable
from sidecar.lint.source.builder import WorkloadBuilder
from sidecar.lint.source.kind import Pairs, fields_of, is_object

_NAME = re.compile(r'"(\w+)"\s*:')


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
    if is_object(value):
        fields = fields_of(value)
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
