"""Files as python-dotenv and compose's `env_file` read them: quotes, comments and references."""

import io

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from sidecar.config.finding import Severity, Sighting
from sidecar.config.mount import ENV06
from sidecar.config.naming import is_plain_name
from sidecar.config.source.reading import Reading
from sidecar.config.variable import Variable


def read(text: str, source: str) -> Reading:
    """Read every line that is sound, and tell by line which is not; the last value wins."""
    reading = Reading()
    bindings = list(parse_stream(io.StringIO(text.removeprefix("\ufeff"))))
    sound = "".join(each.original.string for each in bindings if not each.error)
    values = dotenv_values(stream=io.StringIO(sound))
    lines = {each.key: each.original.line for each in bindings if each.key and not each.error}
    for name, value in values.items():
        if value and is_plain_name(name):
            reading.variables[name] = Variable(name, value, source, lines[name])
    reading.sightings = _sightings(bindings, source)
    return reading


def _sightings(bindings: list[Binding], source: str) -> list[Sighting]:
    sightings = []
    lines: dict[str, int] = {}
    for binding in bindings:
        line = binding.original.line
        if binding.error:
            message = f"Line {line} of {source} is not NAME=value."
            sightings.append(_fault(source, source, message, line))
        elif binding.key in lines:
            message = f"{binding.key} stands twice, in lines {lines[binding.key]} and {line}."
            sightings.append(_fault(source, binding.key, message, line))
        elif binding.key is not None:
            lines[binding.key] = line
    return sightings


def _fault(source: str, field: str, message: str, line: int) -> Sighting:
    hint = f"Put {source} right."
    return Sighting(ENV06, field, message, hint, source, at_most=Severity.WARNING, line=line)
