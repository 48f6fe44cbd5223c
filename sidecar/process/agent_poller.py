"""Polling other processes: the agents of application and workers, and the application's port."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from sidecar.errors import UsageError
from sidecar.process.agent_socket import Life, look_at, shorten
from sidecar.process.heartbeat import MAX_HEARTBEAT_BYTES, Heartbeat, parse_heartbeat
from sidecar.process.reader import (
    MAX_EXPOSITION_BYTES,
    AgentReader,
    AgentSilentError,
    OverlongError,
    UnreachableError,
)

INTERVAL_SECONDS: Final = 1.0
_ANY_HOST: Final = "http://agent"
"""What a Unix socket is asked for: HTTP wants a host, and nobody looks at it."""


@dataclass(slots=True)
class Contact:
    """When another process answered last.

    Attributes:
        answered_mono: Monotonic time of the last answer; None before the first.
        is_asked: Whether it was asked at all.
        is_unreachable: Whether nobody listened when it was asked last.
        misses: Questions without an answer since the last one.
        failures: Questions without an answer, since the start.
    """

    answered_mono: float | None = None
    is_asked: bool = False
    is_unreachable: bool = False
    misses: int = 0
    failures: int = 0

    @property
    def was_heard(self) -> bool:
        """Whether it ever answered."""
        return self.answered_mono is not None

    @property
    def is_hung(self) -> bool:
        """Whether it is there and does not answer."""
        return self.is_asked and not self.is_unreachable

    def silent_seconds(self, now_mono: float) -> float | None:
        """Return for how long there was no answer; None before the first."""
        return None if self.answered_mono is None else now_mono - self.answered_mono

    def answered(self) -> None:
        """Record an answer."""
        self.answered_mono, self.misses = time.monotonic(), 0
        self.is_asked, self.is_unreachable = True, False

    def missed(self, error: AgentSilentError) -> None:
        """Record that none came."""
        self.failures += 1
        self.misses += 1
        self.is_asked, self.is_unreachable = True, isinstance(error, UnreachableError)

    def restart(self) -> None:
        """Forget the last answer: another process is asked from now on."""
        self.answered_mono, self.misses = None, 0


class AgentPoller:
    """What an agent reported last, for readers that must not wait.

    Attributes:
        name: `app-1` and so on, of a process of the application that is followed.
        url: Where it is asked, without a slash at the end.
        contact: When it answered last.
        heartbeat: Its last heartbeat; an empty one before the first, or where it has none.
        metrics: Its last exposition; None while it is silent.
        life: Of the file, where it is a Unix socket.
        is_echo: It is the same process as another one's, whose metrics are read: its own are not.

    Args:
        url: Where the agent listens. With a path, such as `/actuator/prometheus`, it is the address
            of a service's metrics in Prometheus format, which has no heartbeat beside them.
        path: The Unix socket where the URL is asked; None for TCP.
        is_worker: It is a process of ours, which always has a heartbeat, and a longer one.
    """

    def __init__(self, url: str, path: Path | None = None, *, is_worker: bool = False) -> None:
        self.name = ""
        self.url: Final = url.rstrip("/")
        self.contact: Final = Contact()
        self.heartbeat = Heartbeat()
        self.metrics: str | None = None
        self.life = Life.ALIVE
        self.is_echo = False
        self._path: Final = path
        self._is_worker: Final = is_worker
        is_root = urlsplit(url).path in {"", "/"}
        self._metrics_url = f"{self.url}/metrics" if is_root else url
        self._heartbeat_url = f"{self.url}/heartbeat" if is_root else None

    @classmethod
    def at(cls, path: Path) -> Self:
        """Poll a Unix socket."""
        return cls(_ANY_HOST, path)

    async def run(self) -> None:
        """Poll every second until cancelled."""
        with suppress(UsageError):
            async with AgentReader(self._shorten()) as reader:
                while True:
                    await self.poll(reader)
                    await asyncio.sleep(INTERVAL_SECONDS)

    async def ask(self) -> None:
        """Ask once for the heartbeat alone."""
        self.is_echo = True
        with suppress(UsageError):
            async with AgentReader(self._shorten()) as reader:
                await self.poll(reader)

    async def poll(self, reader: AgentReader) -> None:
        """Ask once, and keep the answer."""
        try:
            heartbeat = await self._read_heartbeat(reader)
            metrics = None if self.is_echo else await reader.read_metrics(self._metrics_url)
        except AgentSilentError as error:
            self.metrics = None
            self.contact.missed(error)
            if self._path is not None and self.contact.is_unreachable:
                # It may be there, with a queue of callers that is full.
                self.life = look_at(self._path)
                self.contact.is_unreachable = self.life is not Life.ALIVE
        else:
            self.heartbeat, self.metrics = heartbeat, metrics
            self.contact.answered()

    def _shorten(self) -> str | None:
        return None if self._path is None else shorten(self._path)

    async def _read_heartbeat(self, reader: AgentReader) -> Heartbeat:
        """Return the heartbeat; an empty one where there never was one, as in other languages."""
        if self._heartbeat_url is None:
            return Heartbeat()
        limit_bytes = MAX_EXPOSITION_BYTES if self._is_worker else MAX_HEARTBEAT_BYTES
        try:
            fields = await reader.read_heartbeat(self._heartbeat_url, limit_bytes)
        except OverlongError:
            return self.heartbeat.silenced()
        except AgentSilentError:
            if self._is_worker or self.heartbeat != Heartbeat():
                raise
            return Heartbeat()
        return parse_heartbeat(fields)


class PortProbe:
    """Asks the application's real port and path, as its clients do.

    Attributes:
        contact: When it answered last.
        status: HTTP status of the last answer; None before the first.
    """

    def __init__(self, url: str) -> None:
        self.contact: Final = Contact()
        self.status: int | None = None
        self._url = url

    async def run(self) -> None:
        """Ask every second until cancelled."""
        async with AgentReader() as reader:
            while True:
                try:
                    self.status = await reader.read_status(self._url)
                except AgentSilentError as error:
                    self.contact.missed(error)
                else:
                    self.contact.answered()
                await asyncio.sleep(INTERVAL_SECONDS)
