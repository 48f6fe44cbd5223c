"""Where in the log a new projection or handler starts. Pure."""

import datetime as dt
from typing import Final, Literal, TypeAlias

NOW: Final = "now"
FORMS: Final = "a position, `now`, or a time with its zone such as 2026-03-01T00:00:00Z"
_LONGEST: Final = 40

Start: TypeAlias = int | dt.datetime | Literal["now"]
"""After a position, of which 0 is before the first event; at a time; or at the end of the log."""


def read_start(value: object) -> Start:
    """Return a start as a developer declared it, or an operator typed it.

    Raises:
        ValueError: It is none of `FORMS`.
    """
    if isinstance(value, str):
        value = _parse(value.strip())
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    if value == NOW:
        return NOW
    raise ValueError


def _parse(text: str) -> object:
    if len(text) > _LONGEST or not text.isascii() or text == NOW:
        return text
    return int(text) if text.isdigit() else dt.datetime.fromisoformat(text)


def describe_start(position: int) -> str | None:
    """Say what a read model lacks by its declared start; None when it began before the first event.

    Args:
        position: The one that it started after.
    """
    if position == 0:
        return None
    return f"starts after position {position:,} as declared, and has nothing of what is below"
