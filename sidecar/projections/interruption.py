"""What interrupts a loop again and again: since when, why, and what to do. Pure."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sidecar.errors import SidecarError, trace_back

TOLD_SECONDS: Final = 3.0
"""What is over sooner is nobody's concern."""
MAX_TEXT_CHARACTERS: Final = 400

# By SQLSTATE or its class: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CURES: Final = {
    "53100": "the server's disk is full; make room on it, or enlarge it",
    "53200": "the server is out of memory; look at what takes it, or give it more",
    "53300": "the server has no connection left; see in pg_stat_activity who has them, lower "
    "DB_POOL_MAX_SIZE, or raise max_connections",
    "53": "the server has come to a limit; its log says which",
    "25006": "the database takes no writes; let DATABASE_URL lead to the primary, or see who set "
    "default_transaction_read_only, as a provider does whose disk is full",
    "40P01": "it deadlocks with other transactions; the server's log names the statements: let all "
    "that write these tables lock their rows in one order",
    "40": "it conflicts with other transactions; look at what else writes its tables",
    "55P03": "a lock was not granted within lock_timeout; see in pg_locks and pg_stat_activity who "
    "holds it",
    "57014": "a statement was cancelled; look at statement_timeout of role and database, and at "
    "what slows statements",
    "57": "the server ends sessions, or takes none; its log says why",
    "08": "the connection was lost; look at the server, and at the network in between",
}
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
        return f": {_to_line(str(error)).rstrip('.')}"
    for cause in trace_back(error):
        sqlstate = getattr(cause, "sqlstate", None)
        if isinstance(sqlstate, str) and sqlstate:
            cure = _CURES.get(sqlstate) or _CURES.get(sqlstate[:2]) or _UNKNOWN
            return f" (SQLSTATE {_to_line(sqlstate)}): {cure}"
    return f": {_UNKNOWN}"


def find_longest(interruptions: Iterable[Interruption]) -> Interruption | None:
    """Return the one to be told; None for none."""
    return min(interruptions, key=by_need, default=None)


def by_need(one: Interruption) -> tuple[bool, float]:
    """Order what readers see before what a copy waits for, the longest first."""
    return one.copy != "live", one.since_at


def _to_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:MAX_TEXT_CHARACTERS]
