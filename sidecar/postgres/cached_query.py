"""A question that is asked again and again, whose last answer outlives a failure."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import asyncpg

from sidecar.postgres.connection import RawConnection, is_lost

# About a twentieth of the time is spent on a question, so that one whose answer takes long, as with
# very many dead letters, is asked less often instead of keeping the server busy.
REST_FACTOR: Final = 20.0
MOST_REST_SECONDS: Final = 10.0
# Between two looks every question rests for as long anyway.
PAUSE_SECONDS: Final = 1.0

# A session that began while the server took no writes stays like that.
_SESSION_BOUND: Final = (asyncpg.ReadOnlySQLTransactionError,)

T = TypeVar("T")


class CachedQuery(Generic[T]):
    """One question to the database.

    Attributes:
        name: What it asks for, as a person calls it.
        answer: The last answer; None before the first.
        answered_mono: Monotonic time of the last answer.
        error: Why the last attempt failed; None when it did not.

    Args:
        name: As above.
        ask: Asks once.
        rest_factor: How many times the length of its answer the question rests.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[RawConnection], Awaitable[T]],
        *,
        rest_factor: float = REST_FACTOR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self.answer: T | None = None
        self.answered_mono: float | None = None
        self.error: asyncpg.PostgresError | None = None
        self._ask: Final = ask
        self._rest_factor: Final = rest_factor
        self._clock: Final = clock
        self._due_mono = float("-inf")

    async def renew(self, connection: RawConnection) -> bool:
        """Ask unless the last answer is young for what it costs; tell whether the answer is new.

        A statement that the server ends, as for a lock, leaves the last answer as it is.

        Raises:
            Exception: What means that the session is of no use any more.
        """
        began_mono = self._clock()
        if began_mono < self._due_mono:
            return False
        try:
            self.answer = await self._ask(connection)
        except asyncpg.PostgresError as error:
            if is_lost(connection, error) or isinstance(error, _SESSION_BOUND):
                raise
            self.error = error
            return False
        self.error, self.answered_mono = None, self._clock()
        rest_seconds = self._rest_factor * (self.answered_mono - began_mono) - PAUSE_SECONDS
        self._due_mono = self.answered_mono + min(rest_seconds, MOST_REST_SECONDS)
        return True

    def age_seconds(self) -> float:
        """Return how old the answer is; infinite before the first."""
        if self.answered_mono is None:
            return float("inf")
        return self._clock() - self.answered_mono
