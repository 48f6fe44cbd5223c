"""Waking idle workers: a notification now and then, never one per append.

A NOTIFY inside each append takes a lock at commit and halves the throughput of 16 writers. Workers
poll anyway, fast while events come; only the first event after a quiet time arrives sooner by it.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.schema import events_channel

QUIET_SECONDS: Final = 0.1


class CommitNotifier:
    """Notifies workers, at most every `QUIET_SECONDS`, from a task of its own."""

    def __init__(self, pool: MeteredPool) -> None:
        self._pool = pool
        self._notified_mono = 0.0
        self._task: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Notify workers that events were committed; returns at once."""
        now_mono = time.monotonic()
        if now_mono - self._notified_mono < QUIET_SECONDS:
            return
        self._notified_mono = now_mono
        # Kept here, since asyncio keeps only a weak reference.
        self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        # When no worker is woken, polling finds the events all the same.
        with suppress(StoreUnavailableError):
            await self._pool.execute(sql("notify"), events_channel())
