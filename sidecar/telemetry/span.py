"""Every span: what it is called, what it may carry, and what its failures may."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.telemetry.attribute import (
    BATCH_COUNT,
    CONSUMER_GROUP,
    DESTINATION,
    ERROR_TYPE,
    EVENT_TYPE,
    LINKS_DROPPED,
    MESSAGING_SYSTEM,
    OPERATION_NAME,
    OPERATION_TYPE,
    PROJECTION,
    SPAN_ACTION,
    SPAN_ATTEMPT,
    SPAN_POSITION,
    SPAN_SUBSCRIBER,
    Attribute,
)


@dataclass(frozen=True, slots=True)
class SpanShape:
    """One span: its name is the operation, a space, and the value of `named_by`.

    Attributes:
        kind: As OpenTelemetry registries spell it.
        named_by: Its value ends the name: bounded, never a stream.
        brief: What it is, as one sentence.
        note: What is linked to it and how it fails.
        always: Attributes that it has.
        conditions: Those that it may have, and when.
    """

    operation: str
    kind: str
    named_by: Attribute
    brief: str
    note: str
    always: tuple[Attribute, ...]
    conditions: Mapping[Attribute, str]

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """All that it may ever carry."""
        return *self.always, *self.conditions


APPEND_SPAN: Final = SpanShape(
    "append",
    "producer",
    EVENT_TYPE,
    "One append to the store, named by its first event.",
    "Its context is kept as `traceparent` with each of its events, unless the caller gave one, to "
    "which it is linked then. A failure is an exception event, and makes its status ERROR.",
    (MESSAGING_SYSTEM, OPERATION_NAME, OPERATION_TYPE, DESTINATION, EVENT_TYPE),
    {
        BATCH_COUNT: "If there are several events.",
        SPAN_POSITION: "If the events were appended.",
        ERROR_TYPE: "If the append failed.",
    },
)
PUBLISH_SPAN: Final = SpanShape(
    "publish",
    "internal",
    EVENT_TYPE,
    "One publish call.",
    "Each failed subscriber is an exception event on this span, and makes its status ERROR.",
    (MESSAGING_SYSTEM, OPERATION_NAME, EVENT_TYPE),
    {ERROR_TYPE: "If a subscriber failed."},
)
PROCESS_SPAN: Final = SpanShape(
    "process",
    "consumer",
    PROJECTION,
    "One batch of a projection that held events.",
    "Linked to the writers' spans by the `traceparent` of the events, without repetition and to "
    "128 at most. Failures are exception events, and make its status ERROR. An empty poll has no "
    "span.",
    (MESSAGING_SYSTEM, OPERATION_NAME, CONSUMER_GROUP, BATCH_COUNT),
    {LINKS_DROPPED: "If links were left out.", ERROR_TYPE: "If an event of the batch failed."},
)
SPANS: Final = (APPEND_SPAN, PUBLISH_SPAN, PROCESS_SPAN)

EXCEPTION_ATTRIBUTES: Final = (
    SPAN_SUBSCRIBER,
    SPAN_POSITION,
    SPAN_ACTION,
    SPAN_ATTEMPT,
    EVENT_TYPE,
)
"""What the `exception` event of a span carries beside the conventions' own attributes."""
