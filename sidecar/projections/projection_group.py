"""Several projections that fill the same tables, run as one."""

import copy
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Self, TypeVar

from sidecar.errors import ProjectionError
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection, Subscriber, SubscriberKind
from sidecar.events.types import EventTypes
from sidecar.projections.members import MemberTypes
from sidecar.projections.passed_over import handled_types
from sidecar.projections.projection import Subscription, subscribe

T = TypeVar("T")


class ProjectionGroup:
    """Runs projections that fill the same tables as one, which is added in place of them.

    It has one checkpoint. Each event is handed to every member that wants it, in the order in which
    they are given, and what all of them write for it is one transaction. So the members see the
    log in one order, in a rebuild and a verification too, and may build on each other's rows. They
    are paused, rebuilt, verified and removed under the group's name; an event that one member
    fails for is parked for all of them.

    A member that joins later lacks what the group has applied by then: the group waits until a
    person has it rebuilt, or takes it as it is.

    Attributes:
        name: Of the group, in checkpoints, metrics and commands.
        members: The projections, in their order.
        handles: Of all members; empty where one of them decides by `can_handle`.
        tables: Of all members.
        partitions: The members' own, which has to be one number for all.
        eager: Whether one of them is.
        timeout_seconds: How long one event may take in all members together: the sum of theirs.
        start_at: The members' own, which has to be one place for all.
        setup: Calls those of the members, in one transaction; None where none has one.

    Args:
        name: A name of its own, or that of one member, whose checkpoint it goes on from.
        members: Objects as `add_projection` takes them, whose handlers take the connection.

    Raises:
        ProjectionError: They cannot be run as one.
    """

    def __init__(self, name: str, *members: object) -> None:
        self._parts: Final = tuple(_subscribe(name, member) for member in members)
        _require_names(name, self.names)
        self.name: Final = name
        self.members: Final = members
        self.handles: Final = _join_classes([part.subscriber for part in self._parts])
        self.tables: Final = tuple(dict.fromkeys(t for part in self._parts for t in part.tables))
        self.partitions: Final = _agree(name, "partitions", [p.partitions for p in self._parts])
        self.eager: Final = any(part.eager for part in self._parts)
        self.timeout_seconds: Final = sum(part.timeout_seconds for part in self._parts)
        _agree(name, "start_at", [part.start for part in self._parts])
        self.start_at: Final = getattr(members[0], "start_at", None)
        setups = [part.setup for part in self._parts if part.setup is not None]
        self.setup: Final = partial(_set_up, setups) if setups else None

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Copy the members, and prepare them anew: what calls one is bound to it."""
        other = copy.copy(self)
        ProjectionGroup.__init__(other, self.name, *copy.deepcopy(self.members, memo))
        return other

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members."""
        return tuple(part.name for part in self._parts)

    def can_handle(self, event: object) -> bool:
        """Return True for an event that a member wants."""
        return any(part.subscriber.accepts(event) for part in self._parts)

    async def handle(
        self, event: object, connection: Connection, record: RecordedEvent | None
    ) -> None:
        """Hand an event to each member that wants it; the first failure ends it.

        Raises:
            Exception: Raised by a member, which a note on it names.
        """
        for part in self._parts:
            if part.subscriber.accepts(event):
                try:
                    await part.subscriber.invoke(event, connection, record)
                except Exception as error:
                    error.add_note(f"Raised by {part.name}, a member of {self.name}.")
                    raise

    def member_types(self, types: EventTypes) -> MemberTypes:
        """Return the stored names of what each member is called for, by its name."""
        return {part.name: handled_types(part, types) for part in self._parts}


def member_types(subscription: Subscription, types: EventTypes) -> MemberTypes:
    """Return the same of any subscriber; one that is no group is its own only member."""
    target = subscription.subscriber.target
    if isinstance(target, ProjectionGroup):
        return target.member_types(types)
    return {subscription.name: handled_types(subscription, types)}


def member_names(subscription: Subscription) -> tuple[str, ...]:
    """Return the names of the members of any subscriber; of one that is no group, its own."""
    target = subscription.subscriber.target
    return target.names if isinstance(target, ProjectionGroup) else (subscription.name,)


def _subscribe(group: str, member: object) -> Subscription:
    if isinstance(member, ProjectionGroup):
        raise ProjectionError(
            f"{member.name} is a group itself; give its members to {group} one by one."
        )
    part = subscribe(Subscriber(member), SubscriberKind.PROJECTION)
    if not part.is_repeatable:
        raise ProjectionError(
            f"{part.name} takes no connection, so that what it does is in no transaction with the "
            f"other members of {group}. Let it write through the connection of `handle(event, "
            "connection)`, or add it to the publisher by itself."
        )
    return part


def _require_names(group: str, names: Sequence[str]) -> None:
    if not names:
        raise ProjectionError(f"The group {group} has no members.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ProjectionError(
            f"Two members of {group} are called {twice}. Give each a `name` of its own: it is kept "
            "with the checkpoint, to find which of them join later."
        )


def _join_classes(members: Sequence[Subscriber]) -> tuple[type, ...]:
    if any(member.handles is None for member in members):
        return ()
    return tuple(dict.fromkeys(cls for member in members for cls in member.handles or ()))


def _agree(group: str, attribute: str, values: Sequence[T]) -> T:
    if any(value != values[0] for value in values):
        told = ", ".join(str(value) for value in values)
        raise ProjectionError(
            f"The members of {group} have one checkpoint, and their `{attribute}` differ: {told}."
        )
    return values[0]


async def _set_up(
    setups: Sequence[Callable[[Connection], Awaitable[object]]], connection: Connection
) -> None:
    for setup in setups:
        await setup(connection)
