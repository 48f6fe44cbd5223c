"""Verifications in the background: one read model at a time, the longest unverified first."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from sidecar.postgres.outage import OutageLog
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql

INTERVAL_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 86_400.0
"""A read model is verified again after this time at the earliest."""

logger = logging.getLogger(__name__)


class VerificationSchedule:
    """Asks for verifications on behalf of one worker; any number of workers may do so.

    Args:
        names: The projections that this worker runs.
        share: The part of a core that a verification may use, above 0 and up to 1.
    """

    def __init__(self, names: Sequence[str], share: float) -> None:
        self._names: Final = list(names)
        self._share: Final = share
        self._outages: Final = OutageLog(
            logger,
            "Read models cannot be verified in the background now: %s",
            event="sidecar.verification.unscheduled",
        )

    async def ask(self, pool: MeteredPool) -> str | None:
        """Ask for the next verification that is due; return whose, None when none is."""
        due = sql("schedule_verification")
        found = await pool.fetchval(due, self._names, self._share, PAUSE_SECONDS)
        return None if found is None else str(found)

    async def run(self, pool: MeteredPool) -> None:
        """Ask repeatedly until cancelled, also after an outage."""
        while True:
            with self._outages.survive():
                await self.ask(pool)
            await asyncio.sleep(INTERVAL_SECONDS)
