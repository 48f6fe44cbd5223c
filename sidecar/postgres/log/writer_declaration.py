"""What a writer declares before its first event: which types its own projections handle."""

import asyncio
import logging
import time
from typing import Final

import asyncpg

from sidecar.errors import SidecarError
from sidecar.events.types import EventTypes
from sidecar.postgres.connection import SESSION_ERRORS
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.projections.passed_over import list_handled

# An append waits no longer than this; what could not be declared is tried again after the pause.
LIMIT_SECONDS: Final = 0.25
PAUSE_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


class WriterDeclaration:
    """Declares for the publishers that share a writer's types.

    A worker of an older release keeps the events of these types instead of passing over them. It is
    of no account where that fails: what a worker passes over is found when a newer one starts.

    Args:
        pool: Connections come from it; its owner closes it.
        types: The event types of the writer.
    """

    def __init__(self, pool: MeteredPool, types: EventTypes) -> None:
        self._pool = pool
        self._types = types
        self._due_mono = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is to be made before the next append."""
        return time.monotonic() >= self._due_mono

    async def make(self) -> None:
        """Declare, if that can be done at once."""
        self._due_mono = time.monotonic() + PAUSE_SECONDS
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await self._declare()
        except (SidecarError, TimeoutError, asyncpg.PostgresError, *SESSION_ERRORS) as error:
            logger.debug("Event types cannot be declared now: %s", type(error).__name__)
        else:
            self._due_mono = float("inf")

    async def _declare(self) -> None:
        handled = [pair for each in self._types.publishers for pair in list_handled(each)]
        if handled:
            names, types = zip(*handled, strict=True)
            async with self._pool.acquire_untouched() as connection:
                await connection.execute(sql("declare_for_workers"), names, types, "")
