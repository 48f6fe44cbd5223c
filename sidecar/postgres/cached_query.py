"""A query that is repeated, and whose last result outlives a failure."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from sidecar.postgres.connection import RawConnection, is_lost

# About a twentieth of the time is spent on one query. One that takes long, as with very many dead
# letters, therefore runs less often instead of keeping the server busy.
REST_FACTOR: Final = 20.0
MOST_REST_SECONDS: Final = 10.0
# The caller rests for as long between two rounds anyway.
PAUSE_SECONDS: Final = 1.0


class CachedQuery:
    """One query with its last result.

    Attributes:
        name: What it asks for, for messages.
        run: Runs the query once.
        result: The last result; None before the first.
        error: Why the last attempt failed; None when it succeeded.

    Args:
        rests: Whether it rests for a multiple of its own duration after it.
    """

    def __init__(
        self, name: str, run: Callable[[RawConnection], Awaitable[Any]], *, rests: bool = True
    ) -> None:
        self.name: Final = name
        self.run = run
        self.result: Any = None
        self.error: asyncpg.PostgresError | None = None
        self._rest_factor: Final = REST_FACTOR if rests else 0.0
        self._result_mono = self._due_mono = float("-inf")

    async def refresh(self, connection: RawConnection) -> bool:
        """Run the query unless it rests; return True when the result is new.

        A statement that the server ends, as for a lock, leaves the last result as it is.

        Raises:
            Exception: The session cannot be used any more.
        """
        began_mono = time.monotonic()
        if began_mono < self._due_mono:
            return False
        try:
            self.result = await self.run(connection)
        except asyncpg.PostgresError as error:
            # A session that began while the server took no writes stays read-only.
            if is_lost(connection, error) or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                raise
            self.error = error
            return False
        self.error, self._result_mono = None, time.monotonic()
        rest_seconds = self._rest_factor * (self._result_mono - began_mono) - PAUSE_SECONDS
        self._due_mono = self._result_mono + min(rest_seconds, MOST_REST_SECONDS)
        return True

    def age_seconds(self) -> float:
        """Return how old the result is; infinite before the first."""
        return time.monotonic() - self._result_mono
