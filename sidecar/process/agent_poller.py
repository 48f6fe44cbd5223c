"""Listening to the application, which is not ours to start: its agents and its own port."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from sidecar.errors import UsageError
from sidecar.process.agent_socket import Life, look_at, shorten
from sidecar.process.heartbeat import MAX_HEARTBEAT_BYTES, Heartbeat, parse_heartbeat
from sidecar.process.reader import AgentReader, AgentSilentError, OverlongError, UnreachableError

INTERVAL_SECONDS: Final = 1.0
_ANY_HOST: Final = "http://agent"
"""What a Unix socket is asked for: HTTP wants a host, and nobody looks at it."""


class Contact:
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

    def answered(self) -> None:
        """Take note of an answer."""
        self.answered_mono = time.monotonic()
        self.is_asked, self.is_unreachable = True, False

    def missed(self, error: AgentSilentError) -> None:
        """Take note that none came."""
        self.failures += 1
        self.is_asked, self.is_unreachable = True, isinstance(error, UnreachableError)


class AgentPoller:
    """What an agent last told, for readers that must not wait.

    Attributes:
        url: Where it is asked, without a slash at the end.
        contact: When it was last heard.
        heartbeat: Its last heartbeat; an empty one before the first, or where it has none.
        metrics: Its last exposition; None while it is silent.
        life: Of the file, where it is a Unix socket.
        is_echo: It is the same process as another one's, whose metrics are read: its own are not.

    Args:
        url: Where the agent listens. With a path, such as `/actuator/prometheus`, it is the address
            of a service's metrics in Prometheus format, which has no heartbeat beside them.
        path: The Unix socket where the URL is asked; None for TCP.
    """

    def __init__(self, url: str, path: Path | None = None) -> None:
        self.url: Final = url.rstrip("/")
        self.contact: Final = Contact()
        self.heartbeat = Heartbeat()
        self.metrics: str | None = None
        self.life = Life.ALIVE
        self.is_echo = False
        self._path: Final = path
        is_root = urlsplit(url).path in {"", "/"}
        self._metrics_url = f"{self.url}/metrics" if is_root else url
        self._heartbeat_url = f"{self.url}/heartbeat" if is_root else None

    @classmethod
    def at(cls, path: Path) -> Self:
        """Listen at a Unix socket."""
        return cls(_ANY_HOST, path)

    async def run(self) -> None:
        """Read every second until cancelled."""
        try:
            socket_path = None if self._path is None else shorten(self._path)
        except UsageError:
            return
        async with AgentReader(socket_path) as reader:
            while True:
                await self.read(reader)
                await asyncio.sleep(INTERVAL_SECONDS)

    async def ask(self) -> None:
        """Ask once for the heartbeat alone."""
        self.is_echo = True
        with suppress(UsageError):
            socket_path = None if self._path is None else shorten(self._path)
            async with AgentReader(socket_path) as reader:
                await self.read(reader)

    async def read(self, reader: AgentReader) -> None:
        """Ask once, and take what comes."""
        try:
            heartbeat = await self._read_heartbeat(reader)
            metrics = None if self.is_echo else await reader.read_metrics(self._metrics_url)
        except AgentSilentError as error:
            self.metrics = None
            self.contact.missed(error)
            if self._path is not None and self.contact.is_unreachable:
                self._look_at(self._path)
        else:
            self.heartbeat, self.metrics = heartbeat, metrics
            self.contact.answered()

    async def _read_heartbeat(self, reader: AgentReader) -> Heartbeat:
        """Return the heartbeat; an empty one where there never was one, as in other languages."""
        if self._heartbeat_url is None:
            return Heartbeat()
        try:
            told = await reader.read_heartbeat(self._heartbeat_url, MAX_HEARTBEAT_BYTES)
        except OverlongError:
            return self.heartbeat.silenced()
        except AgentSilentError:
            if self.heartbeat != Heartbeat():
                raise
            return Heartbeat()
        return parse_heartbeat(told)

    def _look_at(self, path: Path) -> None:
        """Tell a process that is dead from one whose queue of callers is full."""
        self.life = look_at(path)
        self.contact.is_unreachable = self.life is not Life.ALIVE


class PortProbe:
    """Asks the application's real port and path, as its clients do.

    Attributes:
        contact: When it was last heard.
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
