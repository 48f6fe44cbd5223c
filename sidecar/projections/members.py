"""Which members of a group the rows of its tables are made by. Pure.

A projection that is no group is the only member of itself, so that one may become the other.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sidecar.projections.passed_over import ALL_TYPES

ANY_MEMBERS: Final = ("*",)
"""Of tables that a person took as they are: whoever goes on with them is as good as any other."""

MemberTypes = Mapping[str, Sequence[str]]
"""The types that each member of one projection handles, by its name."""


def read_seen(projection: str, kept: Sequence[str] | None) -> Sequence[str]:
    """Return the members that have seen all up to a checkpoint, of what is kept with it."""
    return [projection] if kept is None else kept


def find_joined(own: Collection[str], seen: Collection[str]) -> list[str]:
    """Return the members, ascending, that have not seen what others of the group have applied."""
    return [] if set(ANY_MEMBERS).issubset(seen) else sorted(set(own).difference(seen))


def list_lacking(
    members: MemberTypes, joined: Collection[str], handled: Sequence[str] | None
) -> list[str] | None:
    """Return the types of which members that joined may lack events; None for all.

    What the group did not handle before is counted as passed over, and told as that.

    Args:
        members: Of the release that runs.
        joined: Those of them that are new.
        handled: What the release before them handled; None where that is not known.
    """
    wanted = {type_ for name in joined for type_ in members[name]}
    known = set(ALL_TYPES if handled is None else handled)
    if known.issuperset(ALL_TYPES):
        known = wanted
    found = known if wanted.issuperset(ALL_TYPES) else wanted & known
    return None if found.issuperset(ALL_TYPES) else sorted(found)


def describe_joined(projection: str, joined: Sequence[str], position: int) -> str:
    """Say why a group waits whose members are others than before, and what settles it."""
    return (
        f"{_enumerate(joined)} joined {projection} at position {position}, and made nothing of the "
        f"events up to there; `sidecar projections rebuild {projection}` applies them with all "
        f"members, `sidecar projections accept {projection} --reason TEXT` takes the tables as "
        "they are"
    )


def describe_late(projection: str, joined: Sequence[str]) -> str:
    """Say why the rebuild of a group halts that members joined meanwhile."""
    return (
        f"{_enumerate(joined)} joined {projection} since it began; `sidecar projections rebuild "
        f"{projection} --cancel` drops it, so that it can begin anew"
    )


def describe_lacking(projection: str, names: Sequence[str]) -> str:
    """Say why a release cannot replay what another one filled."""
    return (
        f"{_enumerate(names)} made rows of {projection}, too, and is not in this release. One that "
        f"has all members can verify it; `sidecar projections rebuild {projection}` with this one "
        "makes the read model without"
    )


def describe_members(projection: str, kept: Sequence[str] | None) -> str:
    """Say who a group is made of; empty for what is none."""
    seen = read_seen(projection, kept)
    return "" if seen in ([projection], [*ANY_MEMBERS]) else f"runs {_enumerate(seen)} as one"


def _enumerate(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
