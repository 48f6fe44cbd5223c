"""What is to be handled: one event, a batch of them, or one that failed; and who chooses it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from sidecar.errors import UnknownTypeError
from sidecar.events.event_type import EventType
from sidecar.events.exit import as_failure
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Subscriber
from sidecar.events.types import EventTypes


# Made by the thousand, and in no cycle: following them would cost a tenth of catching up.
class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A record that is to be handled, with its event, or with the reason why there is none."""

    record: RecordedEvent
    event: object
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries to be applied in one transaction, if all goes well.

    Attributes:
        deliveries: Ascending by position; at least one.
        upto: Position up to which there is nothing else to be handled.
    """

    deliveries: Sequence[Delivery]
    upto: int

    @property
    def first_position(self) -> int:
        """The position of the first delivery."""
        return self.deliveries[0].record.position

    def split(self, size: int) -> Iterator["Batch"]:
        """Yield batches of at most `size`, in order; itself when it is no larger."""
        if len(self.deliveries) <= size:
            yield self
            return
        last = self.deliveries[-1]
        for start in range(0, len(self.deliveries), size):
            part = self.deliveries[start : start + size]
            yield Batch(part, self.upto if part[-1] is last else part[-1].record.position)

    def around(self, delivery: Delivery) -> tuple["Batch | None", "Batch", "Batch | None"]:
        """Return what comes before one of its deliveries, that one alone, and what comes after."""
        place = self.deliveries.index(delivery)
        position = delivery.record.position
        before, after = self.deliveries[:place], self.deliveries[place + 1 :]
        return (
            Batch(before, position - 1) if before else None,
            Batch([delivery], position if after else self.upto),
            Batch(after, self.upto) if after else None,
        )

    def with_failed(self, delivery: Delivery, cause: Exception) -> "Batch":
        """Return the same with one delivery failed already, so that it is not tried."""
        failed = Delivery(delivery.record, None, cause)
        return Batch([failed if each is delivery else each for each in self.deliveries], self.upto)


@dataclass(slots=True)
class Applied:
    """What one transaction came to.

    Attributes:
        upto: Position up to which everything is applied, put off, parked or not handled.
        events: How many were handled.
        parked: Events that were given up; their streams queue behind them.
    """

    upto: int
    events: int = 0
    parked: list[RecordedEvent] = field(default_factory=list)


class EventFailedError(Exception):
    """Carries one event's failure out of its savepoint; `cause` is what the handler raised."""

    def __init__(self, delivery: Delivery, cause: Exception) -> None:
        super().__init__(delivery.record.position)
        self.delivery = delivery
        self.cause = cause


class Router:
    """Chooses and decodes a subscriber's events.

    With registered types the handler gets event objects, and records of other types are not
    handled. Without any it gets the `RecordedEvent` itself.

    Attributes:
        wanted: The stored names of the types that it may be called for, and of those that only
            other releases handle; None for all.
    """

    def __init__(self, subscriber: Subscriber, types: EventTypes) -> None:
        self._subscriber: Final = subscriber
        self._types: Final = types
        self._wanted: Final[dict[str, EventType | None]] = {}
        # Types are registered before anything runs.
        self._handled: Final = frozenset(types.stored_names(subscriber.handles))
        self._unknown: frozenset[str] = frozenset()
        self.wanted = None if types.is_empty else sorted(self._handled)

    def declare(self, declared: Collection[str]) -> None:
        """Know which types any release handles: those that this one does not come with an error."""
        if not self._types.is_empty:
            self._unknown = frozenset(declared) - self._handled
            self.wanted = sorted(self._handled | self._unknown)

    def route(self, records: Sequence[RecordedEvent]) -> list[Delivery]:
        """Return what is to be handled, in order; a record that cannot be read comes with why."""
        if self._types.is_empty:
            return self._route_records(records)
        deliveries = []
        # `handles` is checked by class, once per type; only `can_handle` has to see each event.
        accepts_all = self._subscriber.handles is not None
        accepts = self._subscriber.accepts
        wanted = self._wanted
        for record in records:
            name = record.type
            event_type = wanted[name] if name in wanted else self._find(name)
            if event_type is None:
                if name in self._unknown:
                    error = UnknownTypeError(self._subscriber.name, name)
                    deliveries.append(Delivery(record, None, error))
                continue
            # The edge to user code: upcasters and `can_handle` fail for their event alone.
            try:
                event = event_type.decode(record)
                if accepts_all or accepts(event):
                    deliveries.append(Delivery(record, event))
            except BaseException as failure:  # noqa: BLE001 - kept with the delivery, handled later
                deliveries.append(Delivery(record, None, as_failure(failure)))
        return deliveries

    def find_unhandled(self, records: Iterable[RecordedEvent]) -> list[RecordedEvent]:
        """Return those that are left out, for this release does not handle their types."""
        if self._types.is_empty:
            return []
        return [
            record
            for record in records
            if record.type not in self._unknown and self._find(record.type) is None
        ]

    def _route_records(self, records: Sequence[RecordedEvent]) -> list[Delivery]:
        deliveries = []
        for record in records:
            try:
                if self._subscriber.accepts(record):
                    deliveries.append(Delivery(record, record))
            except BaseException as error:  # noqa: BLE001 - likewise
                deliveries.append(Delivery(record, None, as_failure(error)))
        return deliveries

    def _find(self, name: str) -> EventType | None:
        event_type = self._types.find(name)
        handles = self._subscriber.handles
        if event_type is not None and handles and not issubclass(event_type.cls, handles):
            event_type = None
        self._wanted[name] = event_type
        return event_type
