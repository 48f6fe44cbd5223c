"""Whose turn it is: handlers use one connection, one after the other, with the tasks they start."""

import asyncio
import logging
from contextvars import ContextVar
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

from sidecar.errors import (
    ConcurrentStatementsError,
    ConnectionEndedError,
    ConnectionMisuseError,
)
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.handler.write_buffer import WriteBuffer
from sidecar.postgres.turnstile import Turnstile

# A task inherits it from the one that starts it: those of an earlier handler are recognized by it.
_turn_of_task: Final = ContextVar("sidecar_turn", default=0)
_turns: Final = count(1)

# The connection's own task runs whenever the task's coroutine does. Each write asks for that, which
# takes a tenth of the time of `current_task`. Of what is no `async def` nobody knows.
_UNSEEN: Final = SimpleNamespace(cr_running=False)

logger = logging.getLogger(__name__)


class HandlerTurns(WriteBuffer):
    """Lends deferred writes to the handlers of a batch, each for its turn.

    It is made for one task, and the handlers that it calls: `begin_turn` comes before each, and
    `end_turn` after the last. A task that a handler left behind would write in the turn of another
    event, or after the end, and is refused.

    Attributes:
        is_touched: Whether this turn did more than add rows that can be dropped again; only then
            there is anything to check after it.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
        owner: The projection, for the log.
    """

    __slots__ = (
        "_coroutine",
        "_eager",
        "_is_eager",
        "_misuse",
        "_outer_savepoints",
        "_owner",
        "_task",
        "_turnstile",
        "is_touched",
    )

    def __init__(self, raw: RawConnection, *, eager: bool, owner: str) -> None:
        super().__init__(raw)
        self.is_touched = False
        self._owner = owner
        self._eager = self._is_eager = eager
        self._task = asyncio.current_task()
        coroutine = None if self._task is None else self._task.get_coro()
        self._coroutine: Any = coroutine if hasattr(coroutine, "cr_running") else _UNSEEN
        self._turnstile = Turnstile(self._admit, self._record_misuse)
        self._outer_savepoints = 0
        self._misuse: ConnectionMisuseError | None = None

    @property
    def turn(self) -> int:
        """The number of the turn under way; 0 between turns."""
        return self._turn

    def begin_turn(self) -> None:
        """Begin the turn of the next handler, and of the tasks that it starts, and end the last."""
        self._turn = turn = next(_turns)
        _turn_of_task.set(turn)
        self._earlier_rows = len(self._rows)
        if self.is_touched:
            self.is_touched = False
            self._misuse = None
            self._outer_savepoints = self._savepoints
            self._eager = self._is_eager

    def _require_order(self) -> None:
        """Look at the turn of a handler that has returned.

        Raises:
            ConnectionMisuseError: It used the connection in a way that cannot work, whether it
                caught the error of that or not, or left a statement or a savepoint open.
            Exception: It caught the error of a deferred write, maybe of another event.
        """
        if self.failure is not None:
            raise self.failure
        if self._misuse is not None:
            raise self._misuse
        if self._turnstile.user is not None or self._savepoints > self._outer_savepoints:
            raise ConcurrentStatementsError(
                "The handler ended while a task of its own was still using the connection; await "
                "all of them before it returns."
            )

    def end_turn(self) -> None:
        """End the turn: until the next one begins, no task of a handler is admitted."""
        self._turn = 0

    def end(self) -> None:
        """Refuse everything from now on: the transaction is over."""
        self.end_turn()
        self._task = None
        # Eager statements meet the turnstile.
        self._eager = True

    def take_back(self) -> bool:
        """Drop the writes of this turn; False when only a rollback can, since some were sent."""
        if self.is_touched:
            return False
        del self._rows[self._earlier_rows :]
        return True

    def _admit(self, task: asyncio.Task[Any] | None) -> None:
        """Refuse a task that neither made the connection nor belongs to the current handler."""
        if task is None or task is not self._task:
            self.require_turn(_turn_of_task.get())

    def require_turn(self, turn: int) -> None:
        """Refuse what a task does that outlived its handler, and tell of it.

        Raises:
            ConnectionEndedError: The turn is not the one under way.
        """
        if turn != self._turn or not turn:
            logger.error(
                "Refused a statement of %s from a task that outlived its handler, or that no "
                "handler started; what it was to write is missing unless that task writes again",
                self._owner,
                extra={"event": "sidecar.projection.late_statement", "projection": self._owner},
            )
            raise ConnectionEndedError(
                "A statement came from a task that does not belong to the current handler: an "
                "earlier handler left it behind, or no handler started it. The transaction is that "
                "of other events by now, or is over. Write from the handler, or from tasks that it "
                "starts and awaits."
            )

    def require_same_turn(self, turn: int) -> None:
        """Refuse what an earlier handler made: a prepared statement, a cursor, a block.

        Raises:
            ConnectionEndedError: It did.
        """
        if turn != self._turn:
            raise ConnectionEndedError(
                "A statement, cursor, block or connection of an earlier event was used. Take a new "
                "one in each handler from the connection that it is given: asyncpg keeps what is "
                "prepared, so that this costs nothing."
            )

    def _record_misuse(self, error: ConnectionMisuseError) -> None:
        # Between turns it is nobody's, such as when what tells of a failure shows a status.
        if self._turn:
            self.is_touched = True
            self._misuse = error
