"""Events that lie below a checkpoint and were never applied, for their type was not handled. Pure.

The code that moves a checkpoint handles some types. What another release of it handles, newer or
older, was passed over there: a read model lacks it, and no failure shows it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import SubscriberKind
from sidecar.events.types import EventTypes
from sidecar.projections.projection import Subscription, subscriptions_of

ALL_TYPES: Final = ("*",)
RETIRED: Final = "retired in the code"
"""Why a type is retired, where no person gave a reason."""
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


def list_handled(publisher: EventPublisher) -> Iterator[tuple[str, str]]:
    """Yield name and handled type of each subscriber of a publisher that names its types.

    Raises:
        ProjectionError: A subscriber is none that a worker could run.
    """
    for subscription in subscriptions_of(publisher):
        for name in handled_types(subscription, publisher.types):
            if name not in ALL_TYPES:
                yield subscription.name, name


def describe_passed_over(name: str, kind: str, passed: Sequence[PassedOver]) -> str:
    """Say what a read model lacks and what to do; empty when it lacks nothing."""
    if not passed:
        return ""
    option = "" if kind == SubscriberKind.PROJECTION else " --replay-effects"
    return (
        f"events were passed over by a release that does not handle them: {_list(passed)}. "
        f"With the release that does: `sidecar projections rebuild {name}{option}`, or "
        f"`sidecar projections accept {name} --reason TEXT` if they are not wanted"
    )


def describe_missed(name: str, missed: Sequence[PassedOver], *, has_tables: bool) -> str:
    """Say why a projection waits that passed over what it handles now, and what settles it."""
    rebuild = f"`sidecar projections rebuild {name}` applies them, " if has_tables else ""
    return (
        f"it passed over events that it handles now: {_list(missed)}; {rebuild}"
        f"`sidecar projections accept {name} --reason TEXT` goes on without them, and "
        f"`sidecar projections remove {name}` forgets it once it is out of the code"
    )


def _list(passed: Sequence[PassedOver]) -> str:
    told = [_describe(one) for one in passed[:MAX_NAMED_TYPES]]
    if more := len(passed) - len(told):
        told.append(f"{more} more types")
    return ", ".join(told)


def _describe(one: PassedOver) -> str:
    place = (
        f"position {one.first_position}"
        if one.first_position == one.last_position
        else f"positions {one.first_position} to {one.last_position}"
    )
    return f"{one.events} of {one.type} ({place})"
