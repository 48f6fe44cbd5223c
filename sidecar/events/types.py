"""The registry of event types: names, schema versions, and the way to JSON and back."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from sidecar.errors import EventTypeError
from sidecar.events.append_arguments import is_storable
from sidecar.events.event_type import EventType
from sidecar.events.fields import require_formless
from sidecar.events.nested import NestedForms, ValueForm
from sidecar.events.record import RecordedEvent
from sidecar.events.upcasting import Upcaster, find_holes

if TYPE_CHECKING:
    from sidecar.events.publisher import EventPublisher

MAX_SCHEMA_VERSION: Final = 2**31 - 1

E = TypeVar("E")
V = TypeVar("V")


class EventTypes:
    """Which event classes a service knows, under which names and in which schema versions.

    Register at import time; reading is safe from any task afterwards.

    Attributes:
        publishers: Those that name their events by it, and call projections for them.
    """

    def __init__(self) -> None:
        self.publishers: Final[WeakSet[EventPublisher]] = WeakSet()
        self._by_name: dict[str, EventType] = {}
        self._by_class: dict[type, EventType] = {}
        self._retired: set[str] = set()
        self._nested = NestedForms()

    def register(
        self, *, name: str | None = None, version: int = 1
    ) -> Callable[[type[E]], type[E]]:
        """Register a frozen class; use as a decorator.

        It is a dataclass, a `msgspec.Struct`, an attrs class or a model or dataclass of pydantic 2.
        Fields are stored under their own names, whatever their aliases in pydantic.

        Args:
            name: What is stored; the class name by default. Keep it when the class is renamed.
            version: Current schema version, from 1.

        Raises:
            EventTypeError: The class can be mutated or has a field without JSON form, or name or
                class is taken.
        """

        def decorate(cls: type[E]) -> type[E]:
            self._add(EventType(cls, name, version, self._nested))
            return cls

        return decorate

    def value(
        self,
        cls: type[V],
        *,
        to_json: Callable[[V], object],
        from_json: Callable[[Any], V],
    ) -> None:
        """Tell how objects of a class stand in JSON, so that events can have them as fields.

        For value objects of the service, and classes such as `ipaddress.IPv4Address`; before the
        events that have them are registered. Dataclasses, structs, attrs classes and enums need
        none of this, and within pydantic models pydantic's own annotations hold.

        Args:
            cls: The class; objects of its subclasses are written, and read as `cls`.
            to_json: Makes text, a number, or a list or dict of such.
            from_json: Makes the object again; what it raises becomes an `EventDecodingError`.

        Raises:
            EventTypeError: It is no class, has a JSON form already, or was told before.

        Example:
            types.value(Money, to_json=str, from_json=Money.parse)
        """
        require_formless(cls, self._nested)
        self._nested.add(cls, ValueForm(to_json, from_json))

    def upcast(self, name: str, *, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Register the step from one schema version of a type to the next; use as a decorator.

        Raises:
            EventTypeError: The type is unknown, or the step exists or leads past its version.
        """
        event_type = self._require(name)
        if from_version in event_type.upcasters:
            raise EventTypeError(f"{name} has two upcasters from schema version {from_version}.")
        if not 1 <= from_version < event_type.version:
            raise EventTypeError(
                f"{name} is at schema version {event_type.version}; "
                f"a step from {from_version} leads nowhere."
            )

        def decorate(upcaster: Upcaster) -> Upcaster:
            event_type.upcasters[from_version] = upcaster
            return upcaster

        return decorate

    def rename(self, old: str, new: str) -> None:
        """Read events stored under an old name as the type that is now called `new`.

        Raises:
            EventTypeError: `new` is unknown, or `old` is in use or retired.
        """
        event_type = self._require(new)
        _require_name(old)
        if old in self._by_name or old in self._retired:
            raise EventTypeError(
                f"Event type {old!r} is registered or retired; it cannot be an old name too."
            )
        self._by_name[old] = event_type

    def retire(self, name: str) -> None:
        """Reserve the name of a type that no longer exists.

        Its events stay in the log and are passed over silently. Events of a type that is only no
        longer registered are passed over as well, and reported where a projection handled it.

        Raises:
            EventTypeError: The type is still registered.
        """
        _require_name(name)
        if name in self._by_name:
            raise EventTypeError(f"Event type {name!r} is registered; it cannot be retired too.")
        self._retired.add(name)

    @property
    def is_empty(self) -> bool:
        """Whether no type is registered."""
        return not self._by_name

    @property
    def retired(self) -> frozenset[str]:
        """Reserved names of types that no longer exist."""
        return frozenset(self._retired)

    def stored_names(self, classes: tuple[type, ...] | None) -> Iterator[str]:
        """Yield the names, old ones included, of types of some classes; None means of all."""
        return (
            name
            for name, event_type in self._by_name.items()
            if classes is None or issubclass(event_type.cls, classes)
        )

    def find(self, name: str) -> EventType | None:
        """Return the type stored under `name`, or None when it is unknown or retired."""
        return self._by_name.get(name)

    def name_of(self, event: object) -> str:
        """Return the stored name of an event object.

        Unregistered objects are named by their `event_type` attribute, else by their class.
        """
        registered = self._by_class.get(type(event))
        if registered is not None:
            return registered.name
        return str(getattr(event, "event_type", None) or type(event).__name__)

    def encode(self, event: object) -> tuple[str, int, str]:
        """Return name, schema version and JSON text of an event object.

        Raises:
            EventTypeError: Its class is not registered, a field has no JSON form, or the text could
                not be read again; the message names the field, and holds no value.
        """
        event_type = self._find_of(event)
        data = event_type.write(event)
        event_type.require_readable(event, data)
        return event_type.name, event_type.version, data

    def write(self, event: object) -> tuple[str, int, str]:
        """As `encode`, without the proof that the text can be read again.

        Raises:
            EventTypeError: Its class is not registered, or a field has no JSON form.
        """
        event_type = self._find_of(event)
        return event_type.name, event_type.version, event_type.write(event)

    def decode(self, record: RecordedEvent) -> object:
        """Make the event object of a record whose type is registered.

        Raises:
            EventDecodingError: The record does not fit its type.
            KeyError: The type is not registered.
        """
        return self._by_name[record.type].decode(record)

    def versions(self) -> Iterator[tuple[str, int]]:
        """Yield (type name, current schema version) of every registered type."""
        return ((event_type.name, event_type.version) for event_type in self._by_class.values())

    def find_holes(self) -> Iterator[tuple[str, int]]:
        """Yield (type name, schema version) wherever a chain of upcasters has a hole."""
        for event_type in self._by_class.values():
            for version in find_holes(event_type.version, event_type.upcasters):
                yield event_type.name, version

    def _add(self, event_type: EventType) -> None:
        _require_name(event_type.name)
        if type(event_type.version) is not int or not 1 <= event_type.version <= MAX_SCHEMA_VERSION:
            raise EventTypeError(f"{event_type.name}: schema versions count from 1.")
        if event_type.name in self._by_name or event_type.name in self._retired:
            raise EventTypeError(
                f"Event type {event_type.name!r} is registered or retired already."
            )
        if event_type.cls in self._by_class:
            raise EventTypeError(f"{event_type.cls.__name__} is registered already.")
        self._by_name[event_type.name] = event_type
        self._by_class[event_type.cls] = event_type

    def _find_of(self, event: object) -> EventType:
        event_type = self._by_class.get(type(event))
        if event_type is None:
            raise EventTypeError(
                f"{type(event).__name__} is not registered; decorate it with @types.register()."
            )
        return event_type

    def _require(self, name: str) -> EventType:
        event_type = self._by_name.get(name)
        if event_type is None:
            raise EventTypeError(f"Event type {name!r} is not registered.")
        return event_type


def _require_name(name: object) -> None:
    """Make sure that a type can be stored under a name.

    Raises:
        EventTypeError: It cannot.
    """
    if not isinstance(name, str) or not name.strip() or not is_storable(name):
        raise EventTypeError(
            f"{name!r} is no name of an event type: it is text without NUL and without halves of "
            "characters."
        )
