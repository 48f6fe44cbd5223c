"""What a worker lends to handlers, as a Protocol."""

from collections.abc import Container
from typing import Protocol

from sidecar.events.subscriber import Connection


class LentConnection(Connection, Protocol):
    """What handlers write through, one after the other, each for as long as it runs."""

    def begin_turn(self) -> None:
        """Lend it to the next handler, and to the tasks that this starts, and to no other."""

    @property
    def is_touched(self) -> bool:
        """Whether there is anything to check after this turn."""

    async def check_turn(self) -> None:
        """Look at the turn of a handler that has returned, and undo what it left in the session.

        Raises:
            ConnectionMisuseError: It used the connection in a way that cannot work.
        """

    def end_turn(self) -> None:
        """Take it back, whether the handler has returned or failed."""

    @property
    def is_blurred(self) -> bool:
        """Whether a deferred write failed that an earlier handler may have made."""

    @property
    def failed_query(self) -> str | None:
        """The deferred statement that failed first, if one has."""

    @property
    def last_query(self) -> str:
        """The statement that was deferred last; empty for none."""

    def send_at_once(self, queries: Container[str]) -> None:
        """Hold these statements back no more."""

    def take_back(self) -> bool:
        """Drop what the last handler has written; False when only a rollback can do that."""

    async def flush(self) -> None:
        """Send deferred writes."""

    async def settle(self) -> None:
        """Send deferred writes, and have deferred constraints checked."""
