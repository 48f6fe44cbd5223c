"""Events that lie below a checkpoint and were never applied, for their type was not handled. Pure.

The code that moves a checkpoint handles some types. What another release of it handles, newer or
older, was passed over there: a read model lacks it, and no failure shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.events.publisher import SubscriberKind
from sidecar.events.types import EventTypes
from sidecar.projections.projection import Subscription

ALL_TYPES: Final = ("*",)
MAX_NAMED_TYPES: Final = 5


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Events of one type that one projection passed over, between two positions."""

    type: str
    events: int
    first_position: int
    last_position: int


def handled_types(subscription: Subscription, types: EventTypes) -> tuple[str, ...]:
    """Return the stored names of what a subscriber is called for, ascending."""
    if types.is_empty:
        return ALL_TYPES
    return tuple(sorted(types.stored_names(subscription.subscriber.handles)))


def describe_passed_over(name: str, kind: str, passed: Sequence[PassedOver]) -> str:
    """Say what a read model lacks and what to do; empty when it lacks nothing."""
    if not passed:
        return ""
    told = [_describe(one) for one in passed[:MAX_NAMED_TYPES]]
    if more := len(passed) - len(told):
        told.append(f"{more} more types")
    option = "" if kind == SubscriberKind.PROJECTION else " --replay-effects"
    return (
        f"events were passed over by a release that does not handle them: {', '.join(told)}. "
        f"With the release that does: `sidecar projections rebuild {name}{option}`, or "
        f"`sidecar projections accept {name} --reason TEXT` if they are not wanted"
    )


def _describe(one: PassedOver) -> str:
    place = (
        f"position {one.first_position}"
        if one.first_position == one.last_position
        else f"positions {one.first_position} to {one.last_position}"
    )
    return f"{one.events} of {one.type} ({place})"
