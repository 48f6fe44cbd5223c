"""Workers: started, watched, killed when they hang, started again."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sidecar.events.wait import wait_at_most
from sidecar.process.exit_code import EX_USAGE
from sidecar.process.liveness import STEADY_SECONDS, backoff_seconds, is_hung
from sidecar.process.reader import AgentReader
from sidecar.process.worker_place import RestartReason, WorkerPlace, WorkerState

POLL_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


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
                    group.create_task(self._supervise(worker, reader))
                # Without workers there is still something to stop.
                await self._stopping.wait()
        finally:
            for worker in self.workers:
                worker.close()

    async def _supervise(self, worker: WorkerPlace, reader: AgentReader) -> None:
        quick_ends = 0
        while not self._stopping.is_set():
            reason = await self._run_once(worker, reader)
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
        """Return True when a worker's very first process ended because of how it was called."""
        return worker.is_new and worker.exit_status == EX_USAGE

    async def _run_once(self, worker: WorkerPlace, reader: AgentReader) -> RestartReason:
        """Run one process, from its start to its end, and return why it ended."""
        try:
            process = await worker.start()
        except OSError as error:
            _log_unstarted(worker.name, error)
            return RestartReason.EXITED
        ended = asyncio.create_task(process.wait())
        try:
            reason = await self._watch(worker, reader, ended)
            if self._stopping.is_set():
                with suppress(ProcessLookupError):
                    process.terminate()
                await asyncio.wait((ended,), timeout=self._stop_seconds)
        finally:
            if process.returncode is None:
                process.kill()
            worker.end(await ended)
        if not (self._is_refusal(worker) or self._stopping.is_set()):
            self._log_end(worker, reason)
        return reason

    async def _watch(
        self, worker: WorkerPlace, reader: AgentReader, ended: asyncio.Task[int]
    ) -> RestartReason:
        """Poll a process until it ends, hangs, or is to be stopped."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not ended.done() and not stopping.done():
                await worker.poll(reader)
                contact = worker.agent.contact
                hung = is_hung(time.monotonic(), worker.started_mono, contact, self._hang_seconds)
                if hung and not ended.done():
                    return RestartReason.HUNG
                await asyncio.wait(
                    (ended, stopping),
                    timeout=POLL_SECONDS if contact.answered_mono else POLL_SECONDS / 10,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            stopping.cancel()
        return RestartReason.EXITED

    def _log_end(self, worker: WorkerPlace, reason: RestartReason) -> None:
        event, text = "sidecar.worker.exited", f"ended with status {worker.exit_status}"
        if reason is RestartReason.HUNG:
            event = "sidecar.worker.hung"
            text = f"was silent for {self._hang_seconds:g} s, stuck in a handler, and was killed"
        logger.error(
            "%s %s; it is started again and goes on from its checkpoints",
            worker.name,
            text,
            extra={"event": event, "worker": worker.name, "status": worker.exit_status},
        )


def _log_unstarted(worker: str, error: OSError) -> None:
    """There was no room for its process, or nothing that could be executed."""
    error_type = type(error).__name__
    logger.error(
        "%s cannot be started: %s, %s. It is tried again; the other workers go on",
        worker,
        error_type,
        error.strerror,
        extra={"event": "sidecar.worker.unstarted", "worker": worker, "error_type": error_type},
    )
