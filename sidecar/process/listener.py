"""Listening to the application, which is not ours to start: its agent and its own port."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from sidecar.process.agent import AgentReader, AgentSilentError

INTERVAL_SECONDS: Final = 1.0


class AgentListener:
    """What an agent last told, for readers that must not wait.

    Attributes:
        heartbeat: Its last heartbeat; empty before the first, or where it has none.
        metrics: Its last exposition; None while it is silent.
        answered_mono: Monotonic time of the last answer; None before the first.
        failures: Reads without an answer, since the start.
    """

    def __init__(self, url: str) -> None:
        self.heartbeat: Mapping[str, object] = {}
        self.metrics: str | None = None
        self.answered_mono: float | None = None
        self.failures = 0
        self._url = url.rstrip("/")

    async def run(self) -> None:
        """Read every second until cancelled."""
        async with AgentReader() as reader:
            while True:
                await self._read(reader)
                await asyncio.sleep(INTERVAL_SECONDS)

    def silent_seconds(self) -> float | None:
        """Return for how long nothing was heard; None before the first answer."""
        return None if self.answered_mono is None else time.monotonic() - self.answered_mono

    async def _read(self, reader: AgentReader) -> None:
        try:
            self.metrics = await reader.read_metrics(self._url)
            self.answered_mono = time.monotonic()
        except AgentSilentError:
            self.metrics = None
            self.failures += 1
            return
        try:
            self.heartbeat = await reader.read_heartbeat(self._url)
        except AgentSilentError:
            # A service in another language has metrics alone.
            self.heartbeat = {}


class PortProbe:
    """Asks the application's real port and path, as its clients do.

    Attributes:
        status: HTTP status of the last answer; None while nobody answers.
        asked: Whether it was asked at all.
    """

    def __init__(self, url: str) -> None:
        self.status: int | None = None
        self.asked = False
        self._url = url

    async def run(self) -> None:
        """Ask every second until cancelled."""
        async with AgentReader() as reader:
            while True:
                try:
                    self.status = await reader.read_status(self._url)
                except AgentSilentError:
                    self.status = None
                self.asked = True
                await asyncio.sleep(INTERVAL_SECONDS)
