"""Where a process's agent listens: at a socket, and at a port where one is configured."""

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sidecar.config.settings import Settings
from sidecar.errors import UsageError
from sidecar.process.agent import listen
from sidecar.process.agent_socket import AgentSocket, open_socket, sweep
from sidecar.process.application import is_of_this_machine
from sidecar.wiring.harmless import Part, Troubles

LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8687
FORMER_PORT: Final = 9464
"""What an agent listened on before it had a socket of its own; OpenTelemetry's exporter for
Prometheus does so, too."""
SWEEP_SECONDS: Final = 10.0
"""Late enough that a sidecar has seen, and reported, what a killed process left behind."""

Address = tuple[str, int]


class Place:
    """The listening sockets of one agent; the agent that serves them closes them.

    Attributes:
        name: Distinguishes the agent from all others.
        listeners: Where it answers; none where neither socket nor port could be opened.
    """

    def __init__(self) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.listeners: Final[list[socket.socket]] = []
        self._socket: AgentSocket | None = None

    def open(
        self, settings: Settings, host: str | None, port: int | None, troubles: Troubles
    ) -> None:
        """Listen wherever that can be done."""
        with troubles.contained(Part.SOCKET):
            self._socket = open_socket(settings.agents)
            self.name = self._socket.name
            self.listeners.append(self._socket.listener)
        with troubles.contained(Part.PORT):
            self._open_port(settings, find_address(settings, host, port))

    def leave(self) -> None:
        """Remove the socket's file: the process ends in good order."""
        if self._socket is not None:
            self._socket.remove()

    def close(self) -> None:
        """Close what nobody has closed yet."""
        for listener in self.listeners:
            listener.close()

    def _open_port(self, settings: Settings, address: Address | None) -> None:
        if address is not None:
            self.listeners.append(listen(*address))
        elif is_at_former_port(settings):
            # One of several processes gets it; all of them are heard by their sockets.
            with suppress(UsageError):
                self.listeners.append(listen(LOOPBACK, FORMER_PORT))


class WorkerSocket:
    """The socket at which a worker answers commands; none where it cannot be opened.

    Attributes:
        listeners: The socket, which the agent that serves it closes.
    """

    def __init__(self, settings: Settings) -> None:
        self.listeners: Final[list[socket.socket]] = []
        self._socket: AgentSocket | None = None
        directory = workers_directory(settings)
        sweep(directory)
        with suppress(OSError, UsageError):
            self._socket = open_socket(directory)
            self.listeners.append(self._socket.listener)

    def leave(self) -> None:
        """Remove the socket's file."""
        if self._socket is not None:
            self._socket.remove()


def workers_directory(settings: Settings) -> Path:
    """Return where the sockets of workers are; those beside it are the application's."""
    return settings.agents / "workers"


def find_address(settings: Settings, host: str | None, port: int | None) -> Address | None:
    """Return where to listen for a sidecar on another host; None where that is not configured."""
    asked = (host, port, settings.agent_host, settings.agent_port)
    if all(each is None for each in asked):
        return None
    ports = (port, settings.agent_port, DEFAULT_PORT)
    return host or settings.agent_host or LOOPBACK, next(one for one in ports if one is not None)


def is_at_former_port(settings: Settings) -> bool:
    """Return True when this process knows that its sidecar asks at the port of former versions."""
    return any(
        is_of_this_machine(url) and urlsplit(url).port == FORMER_PORT
        for url in settings.app_agent_urls
    )


async def sweep_later(directory: Path) -> None:
    """Remove what killed processes left, where no sidecar does it."""
    await asyncio.sleep(SWEEP_SECONDS)
    await asyncio.to_thread(sweep, directory)
