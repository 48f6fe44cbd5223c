"""Deleting dead letters that were resolved long ago, a few at a time."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.outage import OutageLog
from sidecar.postgres.query import sql

BATCH_LETTERS: Final = 500
PAUSE_SECONDS: Final = 1.0
"""Between two batches, so that whatever else the server does comes first."""
INTERVAL_SECONDS: Final = 600.0

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[RawConnection]]

logger = logging.getLogger(__name__)


class DeadLetterRetention:
    """Deletes on behalf of one process; of any number of them one at a time does.

    Open dead letters are never touched, nor is the record of what was discarded.

    Args:
        days: For how long a dead letter is kept after it was resolved; at least 1.
    """

    def __init__(self, days: int) -> None:
        self._days: Final = days
        self._deleted = 0
        self._outages: Final = OutageLog(
            logger,
            "Dead letters that were resolved long ago cannot be deleted now: %s",
            event="sidecar.letters.undeleted",
        )

    async def delete_batch(self, connection: RawConnection) -> int:
        """Delete those that have been resolved for longest; return how many.

        None are while another process deletes.
        """
        batch = sql("delete_resolved_letters")
        return int(await connection.fetchval(batch, self._days, BATCH_LETTERS))

    async def run(self, open_connection: Open) -> None:
        """Delete what is due, now and then, until cancelled, also after an outage."""
        pause_seconds = PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            pause_seconds = INTERVAL_SECONDS
            with self._outages.survive():
                async with open_connection() as connection:
                    letters = await self.delete_batch(connection)
                self._deleted += letters
                if letters == BATCH_LETTERS:
                    pause_seconds = PAUSE_SECONDS
                else:
                    self._log_deleted()

    def _log_deleted(self) -> None:
        if self._deleted:
            logger.info(
                "Deleted %d dead letter(s) that were resolved more than %d day(s) ago",
                self._deleted,
                self._days,
                extra={"event": "sidecar.letters.deleted", "letters": self._deleted},
            )
            self._deleted = 0
