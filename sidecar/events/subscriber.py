"""One subscriber of any shape, made uniform: its name, what it accepts, and how it is called."""

import inspect
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import MethodType
from typing import Final

from sidecar.errors import ProjectionError
from sidecar.events.call import count_parameters, find_call
from sidecar.events.connection_type import Connection
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber_name import name_of

__all__ = ["WITH_CONNECTION", "Connection", "Invoke", "Subscriber", "SubscriberKind"]

WITH_CONNECTION: Final = 2

Invoke = Callable[[object, Connection, RecordedEvent | None], Awaitable[object]]


class SubscriberKind(StrEnum):
    """Whether it does something outside, or fills a read model."""

    HANDLER = "handler"
    PROJECTION = "projection"


class Subscriber:
    """A handler or a projection as the publisher and the runner see it.

    Accepted are plain objects with `can_handle(event)` and `async handle(event)`, and whatever else
    can be awaited for an event: async functions and methods, partials of them, objects with
    `async __call__`. Each may take the connection of the read model's transaction as a second
    parameter and the `RecordedEvent` as a third. A parameter with a default keeps
    its default.

    Attributes:
        name: Name in checkpoints, metrics and logs; unique among a publisher's subscribers.
        is_numbered: Whether only a number distinguishes the name. It follows the order of adding,
            so that in another release it may belong to another subscriber.
        target: The object as it was added.
        handles: Event classes that it receives; None means that `can_handle` decides.
        parameters: How many of (event, connection, record) its handler takes.
        invoke: Calls the handler with as many of the three as it takes.

    Args:
        target: The object that is added.
        handles: In place of what it lists itself.
        is_handler: Whether an async callable is called itself although it has a `handle`.
    """

    __slots__ = (
        "accepts",
        "call",
        "handles",
        "invoke",
        "is_numbered",
        "name",
        "parameters",
        "target",
    )

    def __init__(
        self,
        target: object,
        handles: tuple[type, ...] | None = None,
        *,
        is_handler: bool = False,
    ) -> None:
        self.name = name_of(target)
        self.is_numbered = False
        self.target: Final = target
        self.call: Final = find_call(target, prefers_itself=is_handler)
        self.parameters: Final = count_parameters(self.name, self.call)
        self.handles: Final = self._choose_classes(handles)
        self.accepts: Final = self._choose_test()
        self.invoke: Final = self._choose_invoke()

    @property
    def wants_connection(self) -> bool:
        """Whether the handler writes through a connection, and so exactly once in effect."""
        return self.parameters > 1

    def is_of(self, target: object) -> bool:
        """Return True for the object that was added; a method is a new object at each access."""
        return self.target is target or (isinstance(target, MethodType) and self.target == target)

    def _choose_classes(self, given: tuple[type, ...] | None) -> tuple[type, ...] | None:
        if given:
            return _require_classes(f"What {self.name} is added for", given)
        return _read_handles(self.name, self._read("handles") or ())

    def _read(self, attribute: str) -> object:
        # Of a function, only what was set on it counts: a mock of one would have any attribute.
        if self.call is self.target and inspect.iscoroutinefunction(self.target):
            return inspect.getattr_static(self.target, attribute, None)
        return getattr(self.target, attribute, None)

    def _choose_invoke(self) -> Invoke:
        call = self.call
        if self.parameters == 1:
            return lambda event, _connection, _record: call(event)
        if self.parameters == WITH_CONNECTION:
            return lambda event, connection, _record: call(event, connection)
        return call

    def _choose_test(self) -> Callable[[object], bool]:
        handles = self.handles
        if handles is not None:
            return lambda event: isinstance(event, handles)
        return _read_test(self.name, self._read("can_handle"))


def _read_handles(name: str, handles: object) -> tuple[type, ...] | None:
    """Return the classes that an object lists; a method of that name means something else."""
    if callable(handles) and not isinstance(handles, type):
        return None
    return _require_classes(f"{name}.handles", handles)


def _require_classes(what: str, given: object) -> tuple[type, ...] | None:
    classes = tuple(given) if isinstance(given, tuple | list | set | frozenset) else (given,)
    if any(not isinstance(cls, type) for cls in classes):
        raise ProjectionError(f"{what} is {given!r}; it lists the event classes.")
    return classes or None


def _read_test(name: str, can_handle: object) -> Callable[[object], bool]:
    if can_handle is None:
        return lambda _event: True
    # The coroutine of an async one would be true for every event.
    if not callable(can_handle) or inspect.iscoroutinefunction(can_handle):
        raise ProjectionError(
            f"{name}.can_handle is no plain function; write it without `async`: "
            "`def can_handle(self, event)`, which returns True or False."
        )
    return can_handle
