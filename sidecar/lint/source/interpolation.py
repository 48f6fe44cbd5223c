"""`${NAME:-default}` as docker compose fills it in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.config.filling import fill_in
from sidecar.config.opaque import opaque

_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|"
    r"\{(?P<name>[A-Za-z_]\w*)(?:(?P<kind>:?[-+?])(?P<other>[^{}]*(?:\{[^{}]*\}[^{}]*)*))?\})"
)
_DEEPEST = 5


@dataclass(slots=True)
class Filling:
    """Fills references in from a shell, and keeps in mind whether one came to nothing.

    Attributes:
        lost: A reference was to a name that is not set, so that nothing stands in its place.
    """

    shell: Mapping[str, str] = field(repr=False)
    lost: bool = False

    def fill(self, text: str, depth: int = 0) -> str:
        """Fill references in; what compose demands of the shell is known there only."""
        if depth > _DEEPEST:
            return text
        return fill_in(_REFERENCE, text, lambda found: self._value(found, depth))

    def _value(self, found: re.Match[str], depth: int) -> str:
        if found["escaped"]:
            return "$"
        name = found["plain"] or found["name"]
        value = self.shell.get(name)
        kind, other = found["kind"] or "", found["other"] or ""
        is_given = value is not None and (value != "" or not kind.startswith(":"))
        if kind.endswith("+"):
            return self.fill(other, depth + 1) if is_given else ""
        if kind.endswith("-") and not is_given:
            return self.fill(other, depth + 1)
        if kind.endswith("?") and not is_given:
            return opaque(name)
        self.lost = self.lost or value is None
        return value or ""


def interpolate(text: str, shell: Mapping[str, str]) -> str:
    """Fill references in; one without a value becomes empty, as compose does after a warning."""
    return Filling(shell).fill(text)
