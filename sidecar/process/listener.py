"""Listening to the application, which is not ours to start: its agent and its own port."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from sidecar.process.agent import AgentReader, AgentSilentError, UnreachableError

INTERVAL_SECONDS: Final = 1.0


class Hearing:
    """When somebody was last heard.

    Attributes:
        answered_mono: Monotonic time of the last answer; None before the first.
        is_asked: Whether it was asked at all.
        is_unreachable: Whether nobody listened when it was asked last.
        failures: Questions without an answer, since the start.
    """

    def __init__(self) -> None:
        self.answered_mono: float | None = None
        self.is_asked = False
        self.is_unreachable = False
        self.failures = 0

    def silent_seconds(self) -> float | None:
        """Return for how long nothing was heard; None before the first answer."""
        return None if self.answered_mono is None else time.monotonic() - self.answered_mono

    def hear(self) -> None:
        """Take note of an answer."""
        self.answered_mono = time.monotonic()
        self.is_asked, self.is_unreachable = True, False

    def miss(self, error: AgentSilentError) -> None:
        """Take note that none came."""
        self.failures += 1
        self.is_asked, self.is_unreachable = True, isinstance(error, UnreachableError)


class AgentListener:
    """What an agent last told, for readers that must not wait.

    Attributes:
        hearing: When it was last heard.
        heartbeat: Its last heartbeat; empty before the first, or where it has none.
        metrics: Its last exposition; None while it is silent.

    Args:
        url: Where the agent listens. With a path, such as `/actuator/prometheus`, it is the address
            of a service's metrics in Prometheus format, which has no heartbeat beside them.
    """

    def __init__(self, url: str) -> None:
        self.hearing: Final = Hearing()
        self.heartbeat: Mapping[str, object] = {}
        self.metrics: str | None = None
        is_root = urlsplit(url).path in {"", "/"}
        self._metrics_url = f"{url.rstrip('/')}/metrics" if is_root else url
        self._heartbeat_url = f"{url.rstrip('/')}/heartbeat" if is_root else None

    async def run(self) -> None:
        """Read every second until cancelled."""
        async with AgentReader() as reader:
            while True:
                await self._read(reader)
                await asyncio.sleep(INTERVAL_SECONDS)

    async def _read(self, reader: AgentReader) -> None:
        try:
            metrics = await reader.read_metrics(self._metrics_url)
            self.heartbeat = await self._read_heartbeat(reader)
        except AgentSilentError as error:
            self.metrics = None
            self.hearing.miss(error)
        else:
            self.metrics = metrics
            self.hearing.hear()

    async def _read_heartbeat(self, reader: AgentReader) -> Mapping[str, object]:
        """Return the heartbeat; empty where there never was one, as in other languages."""
        if self._heartbeat_url is None:
            return {}
        try:
            return await reader.read_heartbeat(self._heartbeat_url)
        except AgentSilentError:
            if self.heartbeat:
                raise
            return {}


class PortProbe:
    """Asks the application's real port and path, as its clients do.

    Attributes:
        hearing: When it was last heard.
        status: HTTP status of the last answer; None before the first.
    """

    def __init__(self, url: str) -> None:
        self.hearing: Final = Hearing()
        self.status: int | None = None
        self._url = url

    async def run(self) -> None:
        """Ask every second until cancelled."""
        async with AgentReader() as reader:
            while True:
                try:
                    self.status = await reader.read_status(self._url)
                except AgentSilentError as error:
                    self.hearing.miss(error)
                else:
                    self.hearing.hear()
                await asyncio.sleep(INTERVAL_SECONDS)
