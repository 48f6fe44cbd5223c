"""JSON of names and values: `doppler secrets download`, and `doppler secrets --json`."""

import json
import re

from sidecar.config.naming import is_plain_name
from sidecar.config.source.reading import Reading, unusable
from sidecar.config.variable import Variable


def read(text: str, source: str) -> Reading:
    """Read every name; a value that is no text is read as its JSON."""
    reading = Reading()
    try:
        pairs = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        message = f"{source} is not JSON, from line {error.lineno} on."
        reading.sightings.append(unusable(source, message, error.lineno))
        return reading
    except RecursionError:
        pairs = None
    if not isinstance(pairs, list) or not all(isinstance(each, tuple) for each in pairs):
        reading.sightings.append(
            unusable(source, f"{source} is not an object of names and values.")
        )
        return reading
    for name, value in pairs:
        if is_plain_name(name):
            reading.put(Variable(name, _text(value), source, _line(text, name, reading)))
    return reading


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, tuple) for each in value):
        fields = dict(value)
        computed = fields.get("computed", fields.get("raw"))
        return computed if isinstance(computed, str) else json.dumps(fields)
    return "" if value is None else json.dumps(value)


def _line(text: str, name: str, reading: Reading) -> int | None:
    found = list(re.finditer(rf'"{re.escape(name)}"\s*:', text))
    if not found:
        return None
    place = found[-1] if name in reading.variables else found[0]
    return text.count("\n", 0, place.start()) + 1
