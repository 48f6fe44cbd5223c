"""What goes wrong in a run, at which event or commit, and once."""

from typing import Final

from typing_extensions import override

from sidecar.errors import StoreUnavailableError
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection

# As a value: as a statement of its own it is refused to handlers, and this stands for the server.
_END_SESSION: Final = "SELECT pg_terminate_backend(pg_backend_pid())"


class InjectedError(Exception):
    """Raised on purpose, as a bug in the handler would."""


class Fault:
    """Nothing goes wrong."""

    async def after_handler(self, record: RecordedEvent, connection: Connection) -> None:
        """Have it happen once the handler of an event has returned."""

    def before_commit(self) -> None:
        """Have it happen when all of a transaction is done but its commit."""

    def after_commit(self) -> None:
        """Have it happen when a transaction is committed, and nobody knows yet."""

    def mend(self) -> None:
        """Let nothing go wrong any more."""


class _AtEvent(Fault):
    def __init__(self, position: int) -> None:
        self._position: Final = position
        self._is_over = False

    @override
    async def after_handler(self, record: RecordedEvent, connection: Connection) -> None:
        if record.position == self._position and not self._is_over:
            self._is_over = True
            await self._happen(connection)

    async def _happen(self, connection: Connection) -> None:
        raise NotImplementedError


class HandlerFails(_AtEvent):
    """A handler fails at its end, and not when it is called again."""

    @override
    async def _happen(self, connection: Connection) -> None:
        raise InjectedError


class HandlerKeepsFailing(Fault):
    """A handler fails at its end, whenever it is called for an event, until that is mended."""

    def __init__(self, position: int) -> None:
        self._position: Final = position
        self._is_mended = False

    @override
    async def after_handler(self, record: RecordedEvent, connection: Connection) -> None:
        if record.position == self._position and not self._is_mended:
            raise InjectedError

    @override
    def mend(self) -> None:
        self._is_mended = True


class SessionEnds(_AtEvent):
    """The server ends the session after a handler."""

    @override
    async def _happen(self, connection: Connection) -> None:
        await connection.fetchval("SELECT query_to_xml($1, false, false, '')", _END_SESSION)


class CommitsFail(Fault):
    """Each commit of what a handler has written fails at first.

    Args:
        error: What it raises: the session's end, or what no other try would mend.
        is_known: Whether it is rolled back; else it took place.
    """

    def __init__(self, error: type[Exception], *, is_known: bool) -> None:
        self._error: Final = error
        self._is_known: Final = is_known
        self._handled: tuple[int, ...] = ()
        self._seen: Final[set[tuple[int, ...]]] = set()

    @override
    async def after_handler(self, record: RecordedEvent, connection: Connection) -> None:
        self._handled += (record.position,)

    @override
    def before_commit(self) -> None:
        if self._is_known:
            self._fail_once()

    @override
    def after_commit(self) -> None:
        if not self._is_known:
            self._fail_once()

    def _fail_once(self) -> None:
        """Fail, unless a transaction of the same events did, or it holds none."""
        events, self._handled = self._handled, ()
        if events and events not in self._seen:
            self._seen.add(events)
            raise self._error("on purpose")


def lose_commits() -> Fault:
    """Return a fault that rolls each transaction back once."""
    return CommitsFail(StoreUnavailableError, is_known=True)


def refuse_commits() -> Fault:
    """Return a fault that has each commit refused once, as a constraint does."""
    return CommitsFail(InjectedError, is_known=True)


def doubt_commits() -> Fault:
    """Return a fault that hides once of each commit that it took place."""
    return CommitsFail(StoreUnavailableError, is_known=False)
