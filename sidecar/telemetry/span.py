"""Every span: what it is called, what it may carry, and what its failures may."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.telemetry import attribute
from sidecar.telemetry.attribute import Attribute


@dataclass(frozen=True, slots=True)
class SpanShape:
    """One span: its name is the operation, a space, and the value of `named_by`.

    Attributes:
        kind: As OpenTelemetry registries spell it.
        named_by: Its value ends the name: bounded, never a stream.
        brief: What it is, as one sentence.
        note: What is linked to it and how it fails.
        always: Attributes that it has beside the system and the operation.
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
        common = attribute.MESSAGING_SYSTEM, attribute.OPERATION_NAME
        return *common, *self.always, *self.conditions


APPEND_SPAN: Final = SpanShape(
    "append",
    "producer",
    attribute.EVENT_TYPE,
    "One append to the store, named by its first event.",
    "Its context is kept as `traceparent` with each of its events, unless the caller gave one, to "
    "which it is linked then. A failure is an exception event, and makes its status ERROR.",
    (attribute.OPERATION_TYPE, attribute.DESTINATION, attribute.EVENT_TYPE),
    {
        attribute.BATCH_COUNT: "If there are several events.",
        attribute.SPAN_POSITION: "If the events were appended.",
        attribute.ERROR_TYPE: "If the append failed.",
    },
)
PUBLISH_SPAN: Final = SpanShape(
    "publish",
    "internal",
    attribute.EVENT_TYPE,
    "One publish call.",
    "Each failed subscriber is an exception event on this span, and makes its status ERROR.",
    (attribute.EVENT_TYPE,),
    {attribute.ERROR_TYPE: "If a subscriber failed."},
)
PROCESS_SPAN: Final = SpanShape(
    "process",
    "consumer",
    attribute.PROJECTION,
    "One batch of a projection that held events.",
    "Linked to the writers' spans by the `traceparent` of the events, without repetition and to "
    "128 at most. Failures are exception events, and make its status ERROR. An empty poll has no "
    "span.",
    (attribute.CONSUMER_GROUP, attribute.BATCH_COUNT),
    {
        attribute.LINKS_DROPPED: "If links were left out.",
        attribute.ERROR_TYPE: "If an event of the batch failed.",
    },
)
SPANS: Final = (APPEND_SPAN, PUBLISH_SPAN, PROCESS_SPAN)

EXCEPTION_ATTRIBUTES: Final = (
    attribute.SPAN_SUBSCRIBER,
    attribute.SPAN_POSITION,
    attribute.SPAN_ACTION,
    attribute.SPAN_ATTEMPT,
    attribute.EVENT_TYPE,
)
"""What the `exception` event of a span carries beside the conventions' own attributes."""
