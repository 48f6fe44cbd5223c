"""`${NAME:-default}` as docker compose fills it in."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|"
    r"\{(?P<name>[A-Za-z_]\w*)(?:(?P<kind>:?[-+?])(?P<other>[^{}]*(?:\{[^{}]*\}[^{}]*)*))?\})"
)
_DEEPEST = 5


def interpolate(text: str, shell: Mapping[str, str], depth: int = 0) -> str:
    """Fill references in; one without a value becomes empty, as compose does after a warning."""
    if depth > _DEEPEST or "$" not in text:
        return text

    def fill(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        value = shell.get(found["plain"] or found["name"])
        kind, other = found["kind"] or "", found["other"] or ""
        is_given = value is not None and (value != "" or not kind.startswith(":"))
        if kind.endswith("+"):
            return interpolate(other, shell, depth + 1) if is_given else ""
        if kind.endswith("-") and not is_given:
            return interpolate(other, shell, depth + 1)
        return value or ""

    return _REFERENCE.sub(fill, text)


def defaults(text: str) -> str:
    """Give the text as it is when nothing is set: the values that the file itself publishes."""
    return interpolate(text, {})
