"""Processes that a benchmark starts: the sidecar as users start it, and peers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession

from tests.benchmarks.measure import BenchmarkError, poll
from tests.benchmarks.place import Place
from tests.port import free_port

REPOSITORY: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 10.0


class NeverReadyError(BenchmarkError):
    """A process did not answer in time; the message holds the end of its output."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process under way and where it answers."""

    child: asyncio.subprocess.Process
    url: str
    output: Path

    async def until(self, path: str) -> None:
        """Wait until a path is answered with 200.

        Raises:
            NeverReadyError: The process ended, or the time did.
        """
        async with ClientSession() as http:
            try:
                await poll(lambda: self._is_answered(http, path), limit_seconds=START_SECONDS)
            except TimeoutError as error:
                raise self._never_ready(path) from error

    async def _is_answered(self, http: ClientSession, path: str) -> bool:
        if self.child.returncode is not None:
            raise self._never_ready(path)
        try:
            async with http.get(self.url + path) as response:
                return response.status == HTTPStatus.OK
        except (ClientError, OSError):
            return False

    def _never_ready(self, path: str) -> NeverReadyError:
        tail = self.output.read_text("utf-8")[-2000:]
        return NeverReadyError(f"{self.url}{path} was never answered with 200:\n{tail}")


@asynccontextmanager
async def started(
    place: Place, *arguments: str, dsn: str = "", **environ: str
) -> AsyncIterator[Started]:
    """Run `python -m` with these arguments for the block; `{port}` stands for a free port.

    The process gets a clean environment for development and its output goes to a file.
    """
    port = free_port()
    output = place.scratch / f"{port}.log"
    command = [sys.executable, "-m", *(part.format(port=port) for part in arguments)]
    own = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "ENVIRONMENT": "development",
        "DATABASE_URL": dsn,
        "SIDECAR_LOG_LEVEL": "WARNING",
        "SIDECAR_AGENT_PORT": str(port),
        **environ,
    }
    with output.open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=place.scratch, env=own, stdout=log, stderr=log
        )
    try:
        yield Started(child, f"http://127.0.0.1:{port}", output)
    finally:
        await _stop(child)


def serve(
    place: Place, dsn: str, *target: str, **environ: str
) -> AbstractAsyncContextManager[Started]:
    """Run `sidecar serve`; see `started`."""
    return started(place, "sidecar", "serve", *target, "--port", "{port}", dsn=dsn, **environ)


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
