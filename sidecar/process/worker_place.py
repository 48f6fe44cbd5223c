"""A worker's place: the process in it changes, its name and the address of its agent stay."""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sidecar.process.agent import listen
from sidecar.process.agent_poller import AgentPoller
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.reader import AgentReader

LISTENER_VARIABLE: Final = "EVENT_SIDECAR_LISTENER_FD"


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    SILENT = "silent"
    WAITING = "waiting"
    STOPPED = "stopped"


class RestartReason(StrEnum):
    """Why a worker was started again."""

    EXITED = "exited"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker's place at one moment.

    Attributes:
        name: `worker-1` and so on.
        state: Where the present process is in its life.
        pid: Of the present process; None between two.
        restarts: By reason, zeros included.
        is_new: Whether its first process has not answered yet, and still may.
        heartbeat: What it last reported; empty before its first answer.
        reported_mono: Monotonic time of that; the start of a process that has not answered yet.
        metrics: Its last exposition; None while it is silent.
    """

    name: str
    state: WorkerState = WorkerState.STARTING
    pid: int | None = None
    restarts: Mapping[RestartReason, int] = field(default_factory=dict)
    is_new: bool = False
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    reported_mono: float = 0.0
    metrics: str | None = None


class WorkerPlace:
    """Starts the processes of one worker, one after the other, and polls the present one.

    Attributes:
        agent: What the present process reported last, and when.
        started_mono: Monotonic time of its start.
        exit_status: Of the process before; None at first.
    """

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.name: Final = name
        self.state = WorkerState.STARTING
        self.started_mono = 0.0
        self.exit_status: int | None = None
        self.restarts: Final[dict[RestartReason, int]] = dict.fromkeys(RestartReason, 0)
        self.pid: int | None = None
        self._command = command
        self._environ = environ
        self._listener: socket.socket = listen("127.0.0.1", 0)
        port = self._listener.getsockname()[1]
        self.agent: Final = AgentPoller(f"http://127.0.0.1:{port}", is_worker=True)

    @property
    def is_new(self) -> bool:
        """Whether its first process has not answered yet, and still may."""
        return self.agent.contact.answered_mono is None and not sum(self.restarts.values())

    def status(self) -> WorkerStatus:
        """Return how it stands now."""
        return WorkerStatus(
            self.name,
            self.state,
            self.pid,
            dict(self.restarts),
            self.is_new,
            self.agent.heartbeat,
            self.agent.contact.answered_mono or self.started_mono,
            self.agent.metrics,
        )

    async def start(self) -> asyncio.subprocess.Process:
        """Start a process in this place. Its standard input closes when we end.

        Raises:
            OSError: There is no room for one, or the program cannot be executed.
        """
        self.state, self.started_mono = WorkerState.STARTING, time.monotonic()
        self.agent.contact.restart()
        descriptor = self._listener.fileno()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            env={**self._environ, LISTENER_VARIABLE: str(descriptor)},
            pass_fds=(descriptor,),
            # Ctrl-C reaches the whole foreground group; when a worker stops is decided by its
            # supervisor.
            start_new_session=True,
        )
        self.pid = process.pid
        return process

    async def poll(self, reader: AgentReader) -> None:
        """Ask the present process once."""
        await self.agent.poll(reader)
        if self.agent.contact.misses == 0:
            self.state = WorkerState.RUNNING
        elif self.agent.contact.answered_mono is not None:
            self.state = WorkerState.SILENT

    def end(self, exit_status: int) -> None:
        """Record that the present process ended."""
        self.exit_status, self.pid, self.agent.metrics = exit_status, None, None

    def close(self) -> None:
        """Close the listening socket."""
        self._listener.close()
