"""`python -m sidecar ...` as a process of its own: started, asked, listened to, ended."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs
from prometheus_client.parser import text_string_to_metric_families

from sidecar.config.token_file import TokenFile
from tests.incidents.family import MARK, Family
from tests.incidents.patience import eventually

TARGET: Final = "service:publisher"
READY_SECONDS: Final = 30.0
FINISH_SECONDS: Final = 20.0
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 when nothing did."""

    status: int
    text: str
    headers: Mapping[str, str]
    seconds: float

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ran to its end."""

    code: int
    out: str
    err: str


class Program:
    """A running program; `address` is known once it listens."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log: Path,
        family: Family,
        http: ClientSession,
        environ: Mapping[str, str],
    ) -> None:
        self.process: Final = process
        self._environ = environ
        self.family: Final = family
        self.address = ""
        self._log = log
        self._http = http

    def bearer(self) -> dict[str, str]:
        """Return the header that opens the guarded pages: with the configured or the made token."""
        folder = self._log.parent / self._environ.get("SIDECAR_DATA_DIR", ".sidecar")
        token = self._environ.get("SIDECAR_TOKEN") or TokenFile(folder).obtain()[0].reveal()
        return {hdrs.AUTHORIZATION: f"Bearer {token}"}

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask with the token; every wait counts, the one for a connection too."""
        headers = self.bearer() | headers
        began_mono = time.monotonic()
        try:
            async with self._http.request(
                method, self.address + path, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
        except (ClientError, OSError, TimeoutError) as error:
            return Answer(0, repr(error), {}, time.monotonic() - began_mono)
        seconds = time.monotonic() - began_mono
        return Answer(answer.status, body.decode(), answer.headers, seconds)

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels; 0 where there are none."""
        answer = await self.get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def status(self) -> dict[str, Any]:
        """Return what `/api/status` shows."""
        shown: dict[str, Any] = (await self.get("/api/status")).json()
        return shown

    async def worker(self) -> dict[str, Any]:
        """Return the only worker as `/api/status` shows it."""
        [worker] = (await self.status())["workers"]
        return dict(worker)

    async def is_ready(self) -> bool:
        return (await self.get("/ready")).status == 200

    async def is_unready(self) -> bool:
        return (await self.get("/ready")).status == 503

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the complete log lines that are JSON objects; only those of an event."""
        whole = self.output().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if event is None or line.get("event") == event]

    async def line(
        self, event: str, within_seconds: float = 20.0, **more: object
    ) -> dict[str, Any]:
        """Wait for a log line of an event, with these values, and return the first."""

        async def find() -> list[dict[str, Any]]:
            ended = self.process.poll() is not None
            found = [line for line in self.lines(event) if more.items() <= line.items()]
            assert found or not ended, self.output()
            return found

        return (await eventually(find, within_seconds))[0]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, within_seconds: float) -> int:
        """Return the exit code."""
        return await asyncio.to_thread(self.process.wait, within_seconds)

    async def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        self.process.kill()
        await self.wait(5.0)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which a program finds its target, and nothing by chance."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(_HERE),
        "SIDECAR_LOG_FORMAT": "json",
        "DB_POOL_MIN_SIZE": "1",
        **more,
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sidecar", *arguments]


def finish(folder: Path, *arguments: str, **environ: str) -> Ended:
    """Run a program that ends by itself, in exactly this environment beside PATH."""
    done = subprocess.run(
        command(*arguments),
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FINISH_SECONDS,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _start(words: list[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    # Each process of a program writes whole lines at the end of the same file.
    with log.open("ab") as file:
        return subprocess.Popen(
            words,
            cwd=log.parent,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@asynccontextmanager
async def launch(
    folder: Path, *arguments: str, under: Sequence[str] = (), **environ: str
) -> AsyncIterator[Program]:
    """Start a program in a folder, under another one's words where some are given.

    Whatever it leaves running is ended, and told.
    """
    mark = uuid.uuid4().hex
    family = Family(mark, folder)
    log = folder / f"{mark}.log"
    environ = environment(folder, **environ) | {MARK: mark}
    process = _start([*under, *command(*arguments)], environ, log)
    try:
        async with ClientSession(timeout=ClientTimeout(total=5.0)) as http:
            yield Program(process, log, family, http, environ)
    finally:
        process.kill()
        process.wait()
        family.kill()


@asynccontextmanager
async def listening(
    folder: Path, *arguments: str, under: Sequence[str] = (), **environ: str
) -> AsyncIterator[Program]:
    """Start `sidecar serve` on a free port, wait until it listens, and end it afterwards."""
    words = ("serve", *arguments, "--port", "0")
    async with launch(folder, *words, under=under, **environ) as program:
        told = await program.line("sidecar.serve.listening")
        program.address = str(told["message"]).rpartition(" ")[2]
        yield program


@asynccontextmanager
async def serve(
    folder: Path, dsn: str, *arguments: str, under: Sequence[str] = (), **environ: str
) -> AsyncIterator[Program]:
    """Start `sidecar serve` for a database, as a developer does."""
    development = {"ENVIRONMENT": "development", "DATABASE_URL": dsn}
    given = {**development, **environ}
    async with listening(folder, *arguments, under=under, **given) as program:
        yield program


@asynccontextmanager
async def ready_service(folder: Path, dsn: str, **environ: str) -> AsyncIterator[Program]:
    """Start `sidecar serve` with the service of these tests and wait until it works."""
    async with serve(folder, dsn, TARGET, **environ) as program:

        async def is_up() -> bool:
            return await program.is_ready() and (await program.worker())["state"] == "running"

        await eventually(is_up, READY_SECONDS)
        yield program
