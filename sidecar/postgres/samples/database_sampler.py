"""Samples composed of queries that fail and rest independently of one another."""

from typing import Final

import asyncpg

from sidecar.diagnosis.query_failure import explain_unanswered
from sidecar.postgres.cached_query import CachedQuery
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.rights import list_missing, missing_rights
from sidecar.postgres.samples.sample import Sample, compose, list_queries

# Longer than a slow query rests.
ANSWER_LIFE_SECONDS: Final = 30.0


class DatabaseSampler:
    """Keeps the last result of each query, so that one that fails does not affect the others."""

    def __init__(self) -> None:
        # Lag is shown to the second, so the query of the log never rests.
        self._queries: Final = tuple(
            CachedQuery(name, run, rests=name != "the log")
            for name, run in list_queries(SafeHeadFollower()).items()
        )

    def begin_session(self) -> None:
        """Start the counts anew: another session may reach another server, with a shorter log."""
        runs = list_queries(SafeHeadFollower()).values()
        for query, run in zip(self._queries, runs, strict=True):
            query.run = run

    async def sample(self, connection: RawConnection) -> Sample | None:
        """Run the queries that are due and return a sample; None when that of the log failed.

        Raises:
            Exception: The session cannot be used any more.
        """
        log_is_new, *_ = [await query.refresh(connection) for query in self._queries]
        log, letters, *others = (query.result for query in self._queries)
        if not log_is_new or letters is None:
            return None
        old = (query.name for query in self._queries if query.age_seconds() > ANSWER_LIFE_SECONDS)
        return compose(log, letters, *others, unanswered=tuple(old))

    async def describe_failure(self, connection: RawConnection) -> str:
        """Return why the most important query that failed did so; empty when none failed."""
        for query in self._queries:
            if isinstance(query.error, asyncpg.InsufficientPrivilegeError):
                return str(missing_rights(await list_missing(connection)))
            if query.error is not None:
                return explain_unanswered(query.name, query.error.sqlstate or "")
        return ""
