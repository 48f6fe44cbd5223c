"""Dead letters that were deleted from their table instead of being settled. Pure.

While an event has a dead letter its stream is parked. Once the row is gone, the stream goes on
behind the event, and behind those that waited with it: the projection lacks them for good.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.events.subscriber import SubscriberKind

_ANEW: Final[Mapping[str, str]] = {
    SubscriberKind.PROJECTION: "`sidecar projections rebuild {name}` applies them; ",
    SubscriberKind.HANDLER: (
        "`sidecar projections rebuild {name} --replay-effects` has every event again; "
    ),
}


@dataclass(frozen=True, slots=True)
class DeletedLetters:
    """Dead letters of one projection that somebody deleted.

    Attributes:
        letters: How many.
        events: Their events, and those that waited behind them.
        roles: Who deleted them, as they had logged in.
        last_at: Aware wall time of the last deletion.
        kind: Projection or handler; empty for one that only the application calls.
    """

    letters: int
    events: int
    roles: tuple[str, ...]
    last_at: dt.datetime
    kind: str = SubscriberKind.PROJECTION.value


def describe_deleted(name: str, deleted: DeletedLetters | None) -> str:
    """Say what a projection lacks and what to do; empty when nothing was deleted."""
    if deleted is None:
        return ""
    letters = (
        "1 dead letter was" if deleted.letters == 1 else f"{deleted.letters} dead letters were"
    )
    events = "1 event is" if deleted.events == 1 else f"{deleted.events} events are"
    return (
        f"{letters} deleted by {', '.join(deleted.roles)}, last at "
        f"{deleted.last_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC, so {events} missing: "
        f"{_ANEW.get(deleted.kind, '').format(name=name)}"
        f"`sidecar projections accept {name} --reason TEXT` leaves it without them"
    )
