"""Statements that cannot wait for others, found by what they made fail. Pure."""

from contextlib import suppress
from typing import Final

from sidecar.errors import DeferredStatusError, trace_back

# A handler that needs more than these makes its statements anew each time, as it seems.
MAX_STATEMENTS: Final = 16
MAX_CHARACTERS: Final = 10_000
# So many batches failed for a statement whose events then passed one by one; the first time may
# have been chance.
SUSPECTED_BATCHES: Final = 2
# The class that stands for such a status, in the messages of what is written in C.
_STATUS: Final = "DeferredStatus"


class EagerStatements:
    """The statements of one partition's handler that are sent at once, whatever its mode.

    Attributes:
        is_all: Whether each is, as the projection demands, or since too many would have to be.

    Args:
        is_all: As the projection demands.
    """

    def __init__(self, *, is_all: bool) -> None:
        self.is_all = is_all
        self._learned: Final[set[str]] = set()
        self._suspected = ""
        self._batches = 0

    def __contains__(self, query: object) -> bool:
        return query in self._learned

    def learn(self, query: str) -> bool:
        """Have a statement sent at once from now on; return False when it is already."""
        if self.is_all or query in self._learned:
            return False
        self._learned.add(query)
        if len(self._learned) > MAX_STATEMENTS or len(query) > MAX_CHARACTERS:
            self.is_all = True
            self._learned.clear()
        return True

    def suspect(self, query: str) -> bool:
        """Record that a batch failed for a statement without reason; return True once it is one."""
        self._batches = self._batches + 1 if query == self._suspected else 1
        self._suspected = query
        return self._batches >= SUSPECTED_BATCHES and self.learn(query)


def query_of_status(error: BaseException, last_query: str) -> str:
    """Return the statement whose status was used; empty where an error is none of that.

    What is written in C refuses a status by its class, and cannot say which: it is taken for that
    of the statement deferred last.
    """
    if isinstance(error, DeferredStatusError):
        return error.query
    # An error of the service may fail to be shown.
    with suppress(Exception):
        return last_query if _STATUS in str(error) else ""
    return ""


def has_used_status(error: BaseException, last_query: str) -> bool:
    """Return True when a handler failed because it used the status of a deferred statement."""
    return any(query_of_status(cause, last_query) for cause in trace_back(error))
