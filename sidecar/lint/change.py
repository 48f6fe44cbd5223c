"""What is different in the environment since the process started."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sidecar.config.environ import Environ
from sidecar.lint.finding import WARNING, Rule, Violation, Violations

ENV09 = Rule(
    "ENV09",
    "a mounted file that was replaced since the start; the process works on with what it read",
    WARNING,
    WARNING,
)


class ChangeKind(StrEnum):
    """How a variable is different."""

    ROTATED = "rotated"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """A variable that the process still knows by its old value.

    Attributes:
        source: Where the new value stands, or where the old one stood.
    """

    field: str
    kind: ChangeKind
    source: str


def changes(before: Environ, now: Environ) -> tuple[Change, ...]:
    """Compare two snapshots by name; a change holds nothing of either value."""
    return tuple(sorted(_compare(before, now), key=lambda change: change.field))


def find_rotations(found: Iterable[Change]) -> Violations:
    """Find each variable whose file holds another value than the process works with."""
    for change in found:
        if change.kind is ChangeKind.ROTATED:
            message = f"{change.field} was rotated; the process still works with the value before."
            hint = "Start it again before the old value ends to be valid."
            yield Violation(ENV09, change.field, message, hint, change.source)


def _compare(before: Environ, now: Environ) -> Iterator[Change]:
    for variable in now:
        earlier = before.get(variable.name)
        if earlier is None:
            yield Change(variable.name, ChangeKind.ADDED, variable.source)
        elif earlier.value != variable.value:
            yield Change(variable.name, ChangeKind.ROTATED, variable.source)
    for variable in before:
        if variable.name not in now:
            yield Change(variable.name, ChangeKind.REMOVED, variable.source)
