"""The handlers and projections of a publisher, in order, each with a unique name."""

from collections.abc import Sequence
from typing import Final

from sidecar.errors import ProjectionError
from sidecar.events.subscriber import Subscriber
from sidecar.events.subscriber_name import find_distinct_names, names_of


class SubscriberRegistry:
    """The subscribers of one publisher.

    Attributes:
        handlers: General ones before type-specific ones, each in the order they were added.
        projections: In the order they were added.
    """

    def __init__(self) -> None:
        self.handlers: Final[list[Subscriber]] = []
        self.projections: Final[list[Subscriber]] = []

    def add_handler(self, target: object, types: tuple[type, ...]) -> None:
        """Add a handler; one that was added before receives the new types as well.

        Raises:
            ProjectionError: It has no usable signature, or its `name` is taken.
        """
        known = next((other for other in self.handlers if other.is_of(target)), None)
        added = Subscriber(target, types or None, is_handler=True)
        if known is None:
            self._give_name(added, is_handler=True)
            self._insert(added)
        elif known.handles is not None:
            self._widen(known, added)

    def add_projection(self, target: object) -> None:
        """Add a projection.

        Raises:
            ProjectionError: It has no usable signature, or its name is taken.
        """
        added = Subscriber(target)
        self._give_name(added, is_handler=False)
        self.projections.append(added)

    def _insert(self, handler: Subscriber) -> None:
        general = sum(1 for other in self.handlers if other.handles is None)
        index = general if handler.handles is None else len(self.handlers)
        self.handlers.insert(index, handler)

    def _widen(self, known: Subscriber, added: Subscriber) -> None:
        index = self.handlers.index(known)
        if added.handles is None:
            del self.handlers[index]
            self._insert(added)
        else:
            classes = dict.fromkeys((*(known.handles or ()), *added.handles))
            added = Subscriber(known.target, tuple(classes), is_handler=True)
            self.handlers[index] = added
        added.name, added.is_numbered = known.name, known.is_numbered

    def _give_name(self, added: Subscriber, *, is_handler: bool) -> None:
        """Give a new subscriber, and all with the same short name, names that differ.

        The names do not depend on the order of adding, because checkpoints are found by them.
        """
        subscribers = (*self.handlers, *self.projections)
        short = names_of(added.target)[0]
        alike = [other for other in subscribers if names_of(other.target)[0] == short]
        group = [*alike, added]
        taken = frozenset(other.name for other in subscribers if other not in alike)
        may_number = is_handler and not any(other in self.projections for other in alike)
        names = find_distinct_names([each.target for each in group], taken)
        if names is not None:
            _rename(group, names, are_numbered=False)
        elif not may_number or any(len(names_of(each.target)) == 1 for each in group):
            raise ProjectionError(
                f"Two subscribers are called {short!r}; give one a `name` attribute of its own."
            )
        else:
            _rename(group, [short, *(f"{short}-{n}" for n in range(2, len(group) + 1))])


def _rename(
    group: Sequence[Subscriber], names: Sequence[str], *, are_numbered: bool = True
) -> None:
    for subscriber, name in zip(group, names, strict=True):
        subscriber.name = name
        subscriber.is_numbered = are_numbered
