"""Samples made of questions that do not wait for one another's answers."""

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
)

# Longer than the rest of a question whose answer takes long.
ANSWER_LIFE_SECONDS: Final = 30.0


class DatabaseSampler:
    """Keeps the last answer to each question, so that one that fails takes nothing from the others.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self.begin_session()
        # Lag is told to the second, so the log never rests.
        self._log: Final = CachedQuery("the log", self._look_at_log, rest_factor=0.0, clock=clock)
        self._letters: Final = CachedQuery("dead letters", sample_dead_letters, clock=clock)
        self._skips: Final = CachedQuery("skipped positions", self._count_skips, clock=clock)
        self._activity: Final = CachedQuery("sessions", sample_activity, clock=clock)
        self._sequence: Final = CachedQuery("the sequence", find_unsafe_sequence, clock=clock)
        self._questions: Final[tuple[CachedQuery[Any], ...]] = (
            self._log,
            self._letters,
            self._skips,
            self._activity,
            self._sequence,
        )

    def begin_session(self) -> None:
        """Forget what is counted on: another session may see another server, with a shorter log."""
        self._follower, self._skip_count = (
            SafeHeadFollower(clock=self._clock),
            SkippedPositionCounter(),
        )

    async def look(self, connection: RawConnection) -> Sample | None:
        """Ask what is due and return a sample; None where the log gave no answer.

        Raises:
            Exception: What means that the session is of no use any more.
        """
        log_is_new, *_ = [await question.renew(connection) for question in self._questions]
        log, letters = self._log.answer, self._letters.answer
        if not log_is_new or log is None or letters is None:
            return None
        return compose(
            log,
            letters,
            skipped_positions=self._skips.answer or 0,
            activity=self._activity.answer or {},
            unsafe=self._sequence.answer or "",
            unanswered=tuple(
                question.name
                for question in self._questions
                if question.age_seconds() > ANSWER_LIFE_SECONDS
            ),
        )

    async def tell(self, connection: RawConnection) -> str:
        """Say why the most important question that failed had no answer; empty when none did."""
        for question in self._questions:
            if isinstance(question.error, asyncpg.InsufficientPrivilegeError):
                return str(missing_rights(await list_missing(connection)))
            if question.error is not None:
                return explain_unanswered(question.name, question.error.sqlstate or "")
        return ""

    async def _look_at_log(self, connection: RawConnection) -> LogSample:
        return await sample_log(connection, self._follower)

    async def _count_skips(self, connection: RawConnection) -> int:
        return await self._skip_count.look(connection)
