"""From records to the events that one subscriber wants."""

from collections.abc import Sequence
from typing import Final

from sidecar.events.event_type import EventType
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Subscriber
from sidecar.events.types import EventTypes
from sidecar.projections.delivery import Delivery


class Router:
    """Chooses and decodes a subscriber's events.

    With registered types the handler gets event objects, and records of other types are not
    handled. Without any it gets the `RecordedEvent` itself.

    Attributes:
        wanted: The stored names of the types that it may be called for; None for all.
    """

    def __init__(self, subscriber: Subscriber, types: EventTypes) -> None:
        self._subscriber: Final = subscriber
        self._types: Final = types
        self._wanted: Final[dict[str, EventType | None]] = {}
        # Types are registered before anything runs.
        self.wanted: Final = (
            None if types.is_empty else sorted(types.stored_names(subscriber.handles))
        )

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
                continue
            # The edge to user code: upcasters and `can_handle` fail for their event alone.
            try:
                event = event_type.decode(record)
                if accepts_all or accepts(event):
                    deliveries.append(Delivery(record, event))
            except Exception as error:  # noqa: BLE001 - kept with the delivery, judged later
                deliveries.append(Delivery(record, None, error))
        return deliveries

    def _route_records(self, records: Sequence[RecordedEvent]) -> list[Delivery]:
        deliveries = []
        for record in records:
            try:
                if self._subscriber.accepts(record):
                    deliveries.append(Delivery(record, record))
            except Exception as error:  # noqa: BLE001 - likewise
                deliveries.append(Delivery(record, None, error))
        return deliveries

    def _find(self, name: str) -> EventType | None:
        event_type = self._types.find(name)
        handles = self._subscriber.handles
        if event_type is not None and handles and not issubclass(event_type.cls, handles):
            event_type = None
        self._wanted[name] = event_type
        return event_type
