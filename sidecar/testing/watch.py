"""What a handler does beside the connection that it is given, as far as this process can see it."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import asyncpg

from sidecar.events.record import RecordedEvent

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Python's own events of what leaves the process: https://docs.python.org/3/library/audit_events.html.
_DEEDS: Final = {
    "socket.connect": "opened a network connection",
    "socket.sendto": "sent to the network",
    "subprocess.Popen": "started a program",
    "os.system": "started a program",
    "smtplib.send": "sent mail",
    "os.remove": "removed a file",
    "os.rename": "renamed a file",
}


class Watch:
    """Notes what a projection's handlers do outside, by the event at which they first did it.

    Attributes:
        session: The backend of the connection that the handler is given.
        seen: What was done, each with the event.
    """

    def __init__(self) -> None:
        self.session = 0
        self.seen: Final[dict[str, RecordedEvent]] = {}
        self._record: RecordedEvent | None = None

    @contextmanager
    def handling(self, record: RecordedEvent, session: int) -> Iterator[None]:
        """Watch the handler of an event, and the tasks that it starts."""
        self._record, self.session = record, session
        token = _watch.set(self)
        try:
            yield
        finally:
            _watch.reset(token)
            self._record = None

    def note(self, deed: str) -> None:
        """Note what was done, if that is in a handler's turn."""
        if self._record is not None:
            self.seen.setdefault(deed, self._record)


_watch: Final[ContextVar[Watch | None]] = ContextVar("sidecar_check_watch", default=None)


@cache
def listen() -> None:
    """Hear of what the process does from now on; Python has no way to stop that."""
    sys.addaudithook(_hear)
    connections: Any = asyncpg.Connection
    check_open = connections._check_open  # noqa: SLF001 - each statement passes here

    def look(connection: Any) -> None:  # noqa: ANN401 - asyncpg's, of any class
        watch = _watch.get()
        if watch is not None and connection.get_server_pid() != watch.session:
            watch.note("used another connection than the one it is given")
        check_open(connection)

    connections._check_open = look  # noqa: SLF001


def _hear(event: str, details: Sequence[Any]) -> None:
    if (event in _DEEDS or event == "open") and (watch := _watch.get()) is not None:
        if event != "open":
            watch.note(_DEEDS[event])
        elif _is_written(*details):
            watch.note("wrote a file")


def _is_written(path: object, _mode: object, flags: object) -> bool:
    """Return True for a file of the handler, not for what an import within it leaves."""
    is_compiled = str(path).endswith((".pyc", ".tmp")) or "__pycache__" in str(path)
    return isinstance(flags, int) and bool(flags & _WRITES) and not is_compiled
