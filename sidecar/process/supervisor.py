"""Workers: started, listened to, killed when hung, started again."""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

from sidecar.events.wait import wait_at_most
from sidecar.process.agent import listen
from sidecar.process.exit_code import EX_USAGE
from sidecar.process.heartbeat import Heartbeat, parse_heartbeat
from sidecar.process.liveness import STEADY_SECONDS, backoff_seconds, is_hung
from sidecar.process.log import log_end, log_unstarted
from sidecar.process.reader import AgentReader, AgentSilentError

LISTEN_SECONDS: Final = 1.0
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


class WorkerPlace:
    """One worker's place: the process in it changes, name and agent address stay.

    Attributes:
        name: `worker-1` and so on.
        state: Where the present process is in its life.
        pid: Of the present process; None between two.
        restarts: By reason.
        heartbeat: What it last told of itself; empty before its first answer.
        told: The parts of it that every agent tells.
        metrics: Its last exposition; None while it is silent.
        misses: Questions that the present process left without an answer since its last one.
        status: Exit status of the process before; None at first.
    """

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.name: Final = name
        self.state = WorkerState.STARTING
        self.pid: int | None = None
        self.restarts: Final[dict[RestartReason, int]] = dict.fromkeys(RestartReason, 0)
        self.heartbeat: Mapping[str, object] = {}
        self.told = Heartbeat()
        self.metrics: str | None = None
        self.answered_mono: float | None = None
        self.misses = 0
        self.started_mono = 0.0
        self.status: int | None = None
        self._command = command
        self._environ = environ
        self._listener: socket.socket = listen("127.0.0.1", 0)
        port = self._listener.getsockname()[1]
        self.url: Final = f"http://127.0.0.1:{port}"

    @property
    def is_new(self) -> bool:
        """Whether its first process has not answered yet, and still may."""
        return self.answered_mono is None and not sum(self.restarts.values())

    async def start(self) -> asyncio.subprocess.Process:
        """Start a process in this place. Its standard input closes when we end.

        Raises:
            OSError: There is no room for one, or the program cannot be executed.
        """
        self.state, self.started_mono = WorkerState.STARTING, time.monotonic()
        self.answered_mono, self.misses = None, 0
        descriptor = self._listener.fileno()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            env={**self._environ, LISTENER_VARIABLE: str(descriptor)},
            pass_fds=(descriptor,),
            # Ctrl-C reaches the whole foreground group; who stops a worker, and when, is decided
            # by its supervisor.
            start_new_session=True,
        )
        self.pid = process.pid
        return process

    def close(self) -> None:
        """Close the listening socket."""
        self._listener.close()

    def hear(self, heartbeat: Mapping[str, object], metrics: str) -> None:
        """Take note of an answer."""
        self.state = WorkerState.RUNNING
        self.answered_mono, self.misses = time.monotonic(), 0
        self.heartbeat, self.metrics = heartbeat, metrics
        self.told = parse_heartbeat(heartbeat)

    def miss(self) -> None:
        """Take note of silence."""
        self.metrics = None
        self.misses += 1
        if self.answered_mono is not None:
            self.state = WorkerState.SILENT


class Supervisor:
    """Keeps workers running. Call `run` once, then `stop`.

    Attributes:
        refused: A worker's first process ended at once with 2: TARGET cannot be run, and starting
            it again would not help.

    Args:
        workers: The places to fill; closed when `run` ends.
        hang_seconds: Silence after which a worker is killed.
        stop_seconds: How long a worker may take to finish its transaction when asked to end.
    """

    def __init__(
        self,
        workers: Sequence[WorkerPlace],
        *,
        hang_seconds: float,
        stop_seconds: float = 10.0,
    ) -> None:
        self.workers: Final = tuple(workers)
        self.refused = False
        self._hang_seconds = hang_seconds
        self._stop_seconds = stop_seconds
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask `run` to end the workers and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Supervise until `stop`; on cancellation the workers are killed."""
        try:
            async with AgentReader() as reader, asyncio.TaskGroup() as group:
                for worker in self.workers:
                    group.create_task(self._keep(worker, reader))
        finally:
            for worker in self.workers:
                worker.close()

    async def _keep(self, worker: WorkerPlace, reader: AgentReader) -> None:
        quick_ends = 0
        while not self._stopping.is_set():
            reason = await self._live(worker, reader)
            if self._stopping.is_set():
                break
            if self._is_refusal(worker):
                self.refused = True
                self.stop()
                break
            quick = time.monotonic() - worker.started_mono < STEADY_SECONDS
            quick_ends = quick_ends + 1 if quick else 1
            worker.restarts[reason] += 1
            worker.state = WorkerState.WAITING
            await wait_at_most(self._stopping, backoff_seconds(quick_ends))
        worker.state = WorkerState.STOPPED

    def _is_refusal(self, worker: WorkerPlace) -> bool:
        """Tell whether a worker's very first process ended because of how it was called."""
        return worker.is_new and worker.status == EX_USAGE

    async def _live(self, worker: WorkerPlace, reader: AgentReader) -> RestartReason:
        """See one process through, from its start to its end."""
        try:
            process = await worker.start()
        except OSError as error:
            log_unstarted(worker.name, error)
            return RestartReason.EXITED
        ended = asyncio.create_task(process.wait())
        try:
            reason = await self._listen(worker, reader, ended)
            if self._stopping.is_set():
                await self._end(process, ended)
        finally:
            if process.returncode is None:
                process.kill()
            worker.status = await ended
            worker.pid = None
            worker.miss()
        if not self._is_refusal(worker):
            self._tell_end(worker, reason)
        return reason

    async def _listen(
        self, worker: WorkerPlace, reader: AgentReader, ended: asyncio.Task[int]
    ) -> RestartReason:
        """Listen to a process until it ends, hangs, or is to be stopped."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not ended.done() and not stopping.done():
                await self._poll(worker, reader)
                hung = is_hung(
                    time.monotonic(),
                    worker.started_mono,
                    worker.answered_mono,
                    self._hang_seconds,
                    worker.misses,
                )
                if hung and not ended.done():
                    return RestartReason.HUNG
                await asyncio.wait(
                    (ended, stopping),
                    timeout=LISTEN_SECONDS if worker.answered_mono else LISTEN_SECONDS / 10,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            stopping.cancel()
        return RestartReason.EXITED

    async def _poll(self, worker: WorkerPlace, reader: AgentReader) -> None:
        try:
            heartbeat = await reader.read_heartbeat(f"{worker.url}/heartbeat")
            metrics = await reader.read_metrics(f"{worker.url}/metrics")
        except AgentSilentError:
            worker.miss()
        else:
            worker.hear(heartbeat, metrics)

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait((ended,), timeout=self._stop_seconds)

    def _tell_end(self, worker: WorkerPlace, reason: RestartReason) -> None:
        if not self._stopping.is_set():
            hung = reason is RestartReason.HUNG
            log_end(worker.name, worker.status, self._hang_seconds if hung else None)
