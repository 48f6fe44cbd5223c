"""What a new subscriber may have been called before: one that its release lacks. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

ALIKE_SHARE: Final = 0.5
"""So much of what two handle together is the same when one may be the other's new name."""
MAX_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Forerunner:
    """A subscriber that a release does not have.

    Attributes:
        types: Of the events that it handles.
        position: Of the partition that is furthest behind.
        dead_letters: Its open ones.
    """

    projection: str
    types: frozenset[str]
    position: int
    dead_letters: int


def find_alike(handled: Collection[str], others: Iterable[Forerunner]) -> list[Forerunner]:
    """Return those that handle the same types of events, or nearly so; the most alike first."""
    types = frozenset(handled)
    shares = [(_share(types, other.types), other) for other in others]
    alike = [(share, other) for share, other in shares if share >= ALIKE_SHARE]
    return [other for _, other in sorted(alike, key=lambda one: (-one[0], one[1].projection))]


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    both = one | other
    return len(one & other) / len(both) if both else 0.0


def describe_forerunners(projection: str, position: int, alike: Sequence[Forerunner]) -> str:
    """Say why a new subscriber waits, and what settles it.

    Args:
        projection: The new one.
        position: The one that it starts after if it has no forerunner.
        alike: What it may have been called before; one at least.
    """
    named = alike[:MAX_NAMED]
    names = " and ".join(one.projection for one in named)
    removals = " and ".join(f"`sidecar projections remove {one.projection}`" for one in named)
    return (
        f"{projection} has not run under this name, and handles the events of {names}, which this "
        f"release does not have. {' '.join(_describe(projection, one) for one in named)} If it is "
        f"another one, `sidecar projections accept {projection} --reason TEXT` starts it after "
        f"position {position}, and {removals} forgets what is gone for good"
    )


def _describe(projection: str, one: Forerunner) -> str:
    letters = f", with its {one.dead_letters} dead letter(s)" if one.dead_letters else ""
    return (
        f"If it is {one.projection} renamed, end the workers that run that name; then `sidecar "
        f"projections accept {projection} --renamed-from {one.projection} --reason TEXT` goes on "
        f"after position {one.position}, where {one.projection} stands{letters}."
    )
