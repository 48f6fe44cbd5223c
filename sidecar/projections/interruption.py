"""What interrupts a loop again and again: since when, why, and what to do. Pure."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sidecar.errors import SidecarError, trace_back
from sidecar.projections.cure import find_cure, to_line

MAX_TEXT_CHARACTERS: Final = 400
TOLD_SECONDS: Final = 3.0
"""What is over sooner is nobody's concern."""

_WORDS: Final = {"rebuild": "its rebuild is ", "verify": "its verification is "}
_UNKNOWN: Final = "the worker's log has the error"


@dataclass(frozen=True, slots=True)
class Interruption:
    """What a loop has met at each attempt since it last came on.

    Attributes:
        since_at: Unix time of the first attempt that failed.
        error_type: Of the last one.
        why: What it means and what to do, in one line; no value of an event.
        copy: Of the read model, that the loop keeps or fills.
    """

    since_at: float
    error_type: str
    why: str
    copy: str = "live"

    def describe(self) -> str:
        """Say since when, why, and what to do."""
        since = dt.datetime.fromtimestamp(self.since_at, dt.UTC)
        return (
            f"{_WORDS.get(self.copy, '')}interrupted since {since:%H:%M:%S} UTC by "
            f"{self.error_type}{self.why}. Nothing is lost: it tries again, and goes on by itself"
        )


def explain(error: BaseException) -> str:
    """Say what an error means and what to do, to be put behind its type."""
    if isinstance(error, SidecarError):
        # Our own messages hold no value.
        return f": {to_line(str(error), MAX_TEXT_CHARACTERS).rstrip('.')}"
    for cause in trace_back(error):
        sqlstate = getattr(cause, "sqlstate", None)
        if isinstance(sqlstate, str) and sqlstate:
            cure = find_cure(sqlstate) or _UNKNOWN
            return f" (SQLSTATE {to_line(sqlstate, MAX_TEXT_CHARACTERS)}): {cure}"
    return f": {_UNKNOWN}"


def find_longest(interruptions: Iterable[Interruption]) -> Interruption | None:
    """Return the one to be told; None for none."""
    return min(interruptions, key=by_need, default=None)


def by_need(one: Interruption) -> tuple[bool, float]:
    """Order what readers see before what a copy waits for, the longest first."""
    return one.copy != "live", one.since_at
