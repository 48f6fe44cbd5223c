"""A failure as a span tells it: an exception event, with its secrets masked."""

import traceback
from collections.abc import Mapping

from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from sidecar.telemetry.contract import ERROR_TYPE
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
    text = "".join(traceback.format_exception(error))
    span.add_event(
        "exception",
        {
            "exception.type": type(error).__qualname__,
            "exception.message": redact(str(error)),
            "exception.stacktrace": redact(text),
            **attributes,
        },
    )


def mark_failed(span: Span, error_type: str, description: str) -> None:
    """Set the status to ERROR; the description names subscribers, never a message."""
    span.set_status(Status(StatusCode.ERROR, description))
    span.set_attribute(ERROR_TYPE, error_type)
