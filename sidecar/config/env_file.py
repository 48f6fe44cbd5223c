"""The `.env` file of a developer's working directory."""

import io
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from sidecar.config.finding import Severity, Sighting
from sidecar.config.mount import ENV06, read_text, reason_of
from sidecar.config.naming import is_plain_name
from sidecar.config.variable import ENV_FILE


def read(path: Path) -> tuple[dict[str, str], list[Sighting]]:
    """Give the file's values, and what is wrong in it by line; a missing file has neither."""
    try:
        if not path.exists():
            return {}, []
        text = read_text(str(path))
    except (OSError, ValueError) as error:
        return {}, [_fault(f"{ENV_FILE} is {reason_of(error)}.")]
    bindings = list(parse_stream(io.StringIO(text)))
    sound = "".join(each.original.string for each in bindings if not each.error)
    values = dotenv_values(stream=io.StringIO(sound))
    named = {name: value for name, value in values.items() if value and is_plain_name(name)}
    return named, _sightings(bindings)


def _sightings(bindings: list[Binding]) -> list[Sighting]:
    sightings = []
    lines: dict[str, int] = {}
    for binding in bindings:
        line = binding.original.line
        if binding.error:
            sightings.append(_fault(f"Line {line} of {ENV_FILE} is not NAME=value."))
        elif binding.key in lines:
            first = lines[binding.key]
            sightings.append(_fault(f"{binding.key} stands twice, in lines {first} and {line}."))
        elif binding.key is not None:
            lines[binding.key] = line
    return sightings


def _fault(message: str) -> Sighting:
    return Sighting(
        ENV06,
        ENV_FILE,
        message,
        f"Put {ENV_FILE} right; it is read in development only.",
        ENV_FILE,
        at_most=Severity.WARNING,
    )
