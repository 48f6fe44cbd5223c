"""Samples composed of queries that fail and rest independently of one another."""

import time
from collections.abc import Callable
from typing import Any, Final

import asyncpg

from sidecar.diagnosis.query_failure import explain_unanswered
from sidecar.postgres.activity import sample_activity
from sidecar.postgres.cached_query import CachedQuery
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.migration import find_unsafe_sequence
from sidecar.postgres.rights import list_missing, missing_rights
from sidecar.postgres.safe_head_follower import SafeHeadFollower
from sidecar.postgres.sample import (
    LogSample,
    Sample,
    SkippedPositionCounter,
    compose,
    sample_dead_letters,
    sample_log,
    sample_server,
)

# Longer than a slow query rests.
ANSWER_LIFE_SECONDS: Final = 30.0


class DatabaseSampler:
    """Keeps the last result of each query, so that one that fails does not affect the others.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self.begin_session()
        # Lag is shown to the second, so this query never rests.
        self._log: Final = CachedQuery("the log", self._sample_log, rest_factor=0.0, clock=clock)
        self._letters: Final = CachedQuery("dead letters", sample_dead_letters, clock=clock)
        self._skips: Final = CachedQuery("skipped positions", self._count_skipped, clock=clock)
        self._activity: Final = CachedQuery("sessions", sample_activity, clock=clock)
        self._sequence: Final = CachedQuery("the sequence", find_unsafe_sequence, clock=clock)
        self._server: Final = CachedQuery("the server", sample_server, clock=clock)
        self._queries: Final[tuple[CachedQuery[Any], ...]] = (
            self._log,
            self._letters,
            self._skips,
            self._activity,
            self._sequence,
            self._server,
        )

    def begin_session(self) -> None:
        """Start the counts anew: another session may reach another server, with a shorter log."""
        self._follower = SafeHeadFollower(clock=self._clock)
        self._skip_count = SkippedPositionCounter()

    async def sample(self, connection: RawConnection) -> Sample | None:
        """Run the queries that are due and return a sample; None when that of the log failed.

        Raises:
            Exception: The session cannot be used any more.
        """
        log_is_new, *_ = [await query.refresh(connection) for query in self._queries]
        log, letters = self._log.result, self._letters.result
        if not log_is_new or log is None or letters is None:
            return None
        return compose(
            log,
            letters,
            skipped_positions=self._skips.result or 0,
            activity=self._activity.result or {},
            unsafe=self._sequence.result or "",
            server=self._server.result or {},
            unanswered=tuple(
                query.name for query in self._queries if query.age_seconds() > ANSWER_LIFE_SECONDS
            ),
        )

    async def describe_failure(self, connection: RawConnection) -> str:
        """Return why the most important query that failed did so; empty when none failed."""
        for query in self._queries:
            if isinstance(query.error, asyncpg.InsufficientPrivilegeError):
                return str(missing_rights(await list_missing(connection)))
            if query.error is not None:
                return explain_unanswered(query.name, query.error.sqlstate or "")
        return ""

    async def _sample_log(self, connection: RawConnection) -> LogSample:
        return await sample_log(connection, self._follower)

    async def _count_skipped(self, connection: RawConnection) -> int:
        return await self._skip_count.count(connection)
