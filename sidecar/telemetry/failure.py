"""A failure on a span: an exception event, with its secrets masked."""

import traceback
from collections.abc import Mapping

from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from sidecar.telemetry.attribute import ERROR_TYPE
from sidecar.telemetry.redaction import Redact


def record_exception(
    span: Span,
    error: BaseException,
    redact: Redact,
    attributes: Mapping[str, AttributeValue],
) -> None:
    """Add an exception event, in the shape of the semantic conventions.

    `Span.record_exception` would take message and traceback as they are.
    """
    if not span.is_recording():
        return
    # Unlike str(error) this stands an exception whose own __str__ fails.
    captured = traceback.TracebackException.from_exception(error)
    span.add_event(
        "exception",
        {
            "exception.type": type(error).__qualname__,
            "exception.message": redact(str(captured)),
            "exception.stacktrace": redact("".join(captured.format())),
            **attributes,
        },
    )


def mark_failed(span: Span, error_type: str, description: str) -> None:
    """Set the status to ERROR; the description names subscribers, never a message."""
    span.set_status(Status(StatusCode.ERROR, description))
    span.set_attribute(ERROR_TYPE, error_type)
