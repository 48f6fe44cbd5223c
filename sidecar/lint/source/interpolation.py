"""`${NAME:-default}` as docker compose fills it in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.filling import fill_in
from sidecar.config.opaque import opaque
from sidecar.config.severity import Severity

_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|"
    r"\{(?P<name>[A-Za-z_]\w*)(?:(?P<kind>:?[-+?])(?P<other>[^{}]*(?:\{[^{}]*\}[^{}]*)*))?\})"
)
_DEEPEST = 5


@dataclass(slots=True)
class Filling:
    """Fills references in from a shell, and notes whether one came to nothing.

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


def lost_reference(
    name: str, source: str, line: int | None, at_most: Severity = Severity.WARNING
) -> Fault:
    """Return the fault of a reference that came to nothing.

    The reference's name is left out: where a password holds a `$`, it is a part of the password.
    """
    message = f"{name} holds a $ before a name that is not set; compose puts nothing in its place."
    hint = (
        "Set that name in the shell or in .env; write $$ for a $ that is meant, or put the value "
        "of an env file in single quotes."
    )
    return Fault(FaultKind.FILE, name, message, hint, source, line, at_most)
