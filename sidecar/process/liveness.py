"""When a worker counts as hung, and how long to wait before starting it again. Pure."""

from typing import Final

from sidecar.process.agent_poller import Contact

# Importing a large service and connecting takes its time; silence before the first answer is
# judged by this limit instead of the hang limit.
START_SECONDS: Final = 60.0
PROOF_MISSES: Final = 2
FIRST_BACKOFF_SECONDS: Final = 0.2
MAX_BACKOFF_SECONDS: Final = 15.0
# A worker that ran this long before it ended is restarted as if it were the first time.
STEADY_SECONDS: Final = 60.0


def is_hung(now_mono: float, started_mono: float, contact: Contact, hang_seconds: float) -> bool:
    """Return True when a worker's silence has lasted too long.

    One question without an answer proves nothing, however long ago the last answer was: the process
    that asks may have been stopped meanwhile.

    Before its first answer the limit is that of a start, afterwards `hang_seconds`.
    """
    if contact.misses < PROOF_MISSES:
        return False
    silent_seconds = contact.silent_seconds(now_mono)
    if silent_seconds is None:
        return now_mono - started_mono > START_SECONDS
    return silent_seconds > hang_seconds


def backoff_seconds(quick_ends: int) -> float:
    """Return the pause before the next start, after so many short runs in a row."""
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(max(quick_ends - 1, 0), 16), MAX_BACKOFF_SECONDS)
