"""The events of a check, as a log holds them."""

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes

STREAM: Final = "stream"
"""Of events that are given without one."""

_FIRST_UNIX: Final = 1_700_000_000.0
_NAMESPACE: Final = uuid.UUID("5b0d3c3e-2f57-4a0e-8f0e-7a1d1c9b2f11")


def choose_types(events: Sequence[object], types: EventTypes | None) -> EventTypes:
    """Return the types; without any, one for each class of event, named like it.

    Raises:
        EventTypeError: A class cannot be registered.
    """
    if types is not None:
        return types
    types = EventTypes()
    bare = (_split(item)[1] for item in events)
    for cls in dict.fromkeys(type(event) for event in bare):
        if cls is not RecordedEvent:
            types.register()(cls)
    return types


def write_records(events: Sequence[object], types: EventTypes) -> list[RecordedEvent]:
    """Return a log of them; ids and times are the same each time.

    Raises:
        EventTypeError: One is of no registered class, or has no JSON form.
    """
    versions: Counter[str] = Counter()
    records = []
    for position, item in enumerate(events, 1):
        stream, event = _split(item)
        versions[stream] += 1
        place = (position, stream, versions[stream])
        records.append(_write(event, types, place))
    return records


def _split(item: object) -> tuple[str, object]:
    """Return the stream and the event; a named tuple is an event."""
    if isinstance(item, RecordedEvent):
        return item.stream, item
    if type(item) is tuple:
        stream, event = item
        return stream, event
    return STREAM, item


def _write(event: object, types: EventTypes, place: tuple[int, str, int]) -> RecordedEvent:
    position, stream, version = place
    if isinstance(event, RecordedEvent):
        changes = {"position": position, "stream": stream, "version": version}
        return msgspec.structs.replace(event, **changes)
    name, schema_version, data = types.encode(event)
    identity = uuid.uuid5(_NAMESPACE, str(position)).bytes
    recorded = _FIRST_UNIX + position
    return RecordedEvent(*place, identity, name, schema_version, data, None, recorded)
