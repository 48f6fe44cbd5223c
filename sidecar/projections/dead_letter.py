"""Dead letters: events that a projection could not apply, and why."""

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidecar.errors import EventDecodingError, UnknownTypeError
from sidecar.events.record import RecordedEvent

MAX_TRACEBACK_CHARACTERS: Final = 20_000
MAX_MESSAGE_CHARACTERS: Final = 2_000

Redact = Callable[[str], str]
"""Masks secrets in a text."""


class Category(StrEnum):
    """What kind of failure parked the event."""

    APPLY = "apply"
    DECODE = "decode"
    TIMEOUT = "timeout"
    UNKNOWN_TYPE = "unknown-type"
    """Nothing failed: it waits for a release that handles its type."""
    RETRY = "retry"
    """None yet: the event is tried again before it counts as a dead letter."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One failed event of one projection; its stream is parked until it is resolved.

    Attributes:
        attempts: How often the event was tried, this failure included.
        trace_id: Trace in which it failed, 32 hex digits, if there was one.
    """

    record: RecordedEvent
    category: Category
    error_type: str
    error_message: str
    traceback: str
    attempts: int
    trace_id: str | None


def categorize(error: BaseException) -> Category:
    """Return what failed: knowing or reading the event, or a handler that hung or raised."""
    if isinstance(error, UnknownTypeError):
        return Category.UNKNOWN_TYPE
    if isinstance(error, EventDecodingError):
        return Category.DECODE
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Category.TIMEOUT
    return Category.APPLY


def write_dead_letter(
    record: RecordedEvent, error: BaseException, attempts: int, trace_id: str | None, redact: Redact
) -> DeadLetter:
    """Describe a failure, bounded in size and without secrets; PostgreSQL's text takes no NUL."""
    described = describe_error(error, redact)
    return DeadLetter(record, categorize(error), *described, attempts, trace_id)


def describe_error(error: BaseException, redact: Redact) -> tuple[str, str, str]:
    """Return an error's type, message and traceback, bounded and fit to be stored."""
    # Once for both, since it reads the source; unlike str(error) it stands an exception whose own
    # __str__ fails.
    captured = traceback.TracebackException.from_exception(error, compact=True)
    # Redacted while they are whole: half a secret would be left at the cut.
    return (
        type(error).__name__,
        _storable(redact(str(captured)))[:MAX_MESSAGE_CHARACTERS],
        _storable(redact("".join(captured.format())))[-MAX_TRACEBACK_CHARACTERS:],
    )


def _storable(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
