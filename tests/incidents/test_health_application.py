import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.incidents import health_application
from tests.incidents.health_prober import probing
from tests.incidents.patience import eventually
from tests.incidents.program import Program, environment, serve
from tests.port import free_port

APPLICATION: Final = str(health_application.__file__)
THRESHOLD_SECONDS: Final = 2.0
NOTICE_SECONDS: Final = 3.0
START_SECONDS: Final = 20.0
KINDS: Final = ("aiohttp", "fastapi", "asyncio")


class Application:
    """A service beside the sidecar; plain asyncio has no port of its own."""

    def __init__(self, kind: str, folder: Path, block_seconds: float) -> None:
        self.over: Final = folder / "over"
        self._port, self._agent_port = free_port(), free_port()
        self._environ = environment(
            folder, BLOCK_SECONDS=str(block_seconds), BLOCK_OVER=str(self.over)
        )
        self._kind = kind
        self.start()

    @property
    def addresses(self) -> dict[str, str]:
        """What the sidecar is told."""
        agent = {"SIDECAR_APP_AGENT_URL": f"http://127.0.0.1:{self._agent_port}"}
        if self._kind == "asyncio":
            return agent
        return agent | {"SIDECAR_APP_URL": f"http://127.0.0.1:{self._port}/shop"}

    def start(self) -> None:
        words = [sys.executable, APPLICATION, self._kind, str(self._port), str(self._agent_port)]
        self.process = subprocess.Popen(words, env=self._environ)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@asynccontextmanager
async def watched(
    kind: str, folder: Path, dsn: str, block_seconds: float = 4.0
) -> AsyncIterator[tuple[Application, Program]]:
    """Run an application and a ready sidecar beside it."""
    application = Application(kind, folder, block_seconds)
    try:
        async with serve(folder, dsn, **application.addresses) as program:

            async def is_known() -> bool:
                return "payments" in await checks_of(program) and await program.is_ready()

            await eventually(is_known, START_SECONDS)
            yield application, program
    finally:
        application.kill()


async def checks_of(program: Program) -> dict[str, Any]:
    """Return the checks of `/ready` by name."""
    document = (await program.get("/ready")).json()
    return {name.partition(":")[0]: told for name, [told] in document["checks"].items()}


async def answers(program: Program, path: str, status: int) -> bool:
    return (await program.get(path)).status == status


async def expect(program: Program, check: str, reason: str, within_seconds: float) -> None:
    """Wait for a check's reason; the empty one stands for a pass."""

    async def is_so() -> bool:
        told = (await checks_of(program)).get(check)
        return told is not None and told.get("output", "") == reason

    is_so.__qualname__ = f"{check} is {reason or 'well'}"
    await eventually(is_so, within_seconds)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_blocked_application_is_told_while_it_is_blocked_and_recovers(
    kind: str, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    block_seconds = max(4.0, request.config.getoption("--health-seconds"))
    async with watched(kind, tmp_path, database, block_seconds) as (application, program):
        async with probing(program, "/health", "/metrics", per_second=20.0) as probers:
            application.process.send_signal(signal.SIGUSR1)
            await expect(
                program, "application", "application.silent", THRESHOLD_SECONDS + NOTICE_SECONDS
            )
            assert not application.over.exists()
            assert await program.is_unready()
            await expect(program, "payments", "payments.unheard", 1.0)
            await eventually(lambda: asyncio.to_thread(application.over.exists), block_seconds)
            await eventually(program.is_ready, NOTICE_SECONDS)
            # It answers again; that its loop was late is told for a while.
            await expect(program, "application", "application.late", NOTICE_SECONDS)
        assert [set(prober.statuses) for prober in probers] == [{200}, {200}]
        assert [prober.late for prober in probers] == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
async def test_checks_of_a_service_decide_beside_those_of_the_sidecar(
    kind: str, tmp_path: Path, database: str
) -> None:
    async with watched(kind, tmp_path, database) as (application, program):
        told = await checks_of(program)
        assert told["payments"]["groups"] == ["application", "money"]
        assert told["stock"]["output"] == "stock.error"
        application.process.send_signal(signal.SIGUSR2)
        await expect(program, "payments", "payments.unreachable", NOTICE_SECONDS)
        assert await program.is_unready()
        assert (await program.get("/ready?check=payments")).status == 503
        assert (await program.get("/ready?group=money")).status == 503
        await eventually(lambda: answers(program, "/ready?group=database", 200), NOTICE_SECONDS)
        assert (await program.get("/ready?exclude=payments&exclude=payment")).status == 200
        application.process.send_signal(signal.SIGUSR2)
        await eventually(program.is_ready, NOTICE_SECONDS)

        async def is_shown() -> bool:
            labels = {"check": "payments", "status": "pass"}
            return await program.metric("sidecar_check_status", **labels) == 1

        await eventually(is_shown, NOTICE_SECONDS)
        assert "hunter2" not in program.output()


async def test_a_sidecar_outlives_its_application_and_ends_with_0(
    tmp_path: Path, database: str
) -> None:
    async with watched("aiohttp", tmp_path, database) as (application, program):
        application.kill()
        await expect(program, "application", "application.unreachable", NOTICE_SECONDS)
        assert await program.is_unready()
        assert (await program.get("/health")).status == 200
        assert (await program.get("/metrics")).status == 200
        assert program.process.poll() is None
        application.start()
        await eventually(program.is_ready, START_SECONDS)
        application.kill()
        program.send(signal.SIGTERM)
        assert await program.wait(5.0) == 0


class Metrics(BaseHTTPRequestHandler):
    """What services in other languages have: metrics, and nothing of ours."""

    paths: Final = ("/metrics", "/actuator/prometheus")

    def do_GET(self) -> None:
        known = self.path in self.paths
        body = b'# TYPE jvm_threads gauge\njvm_threads{job="a",instance="b"} 7\n' if known else b""
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def foreign_service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("path", ["", "/actuator/prometheus"])
async def test_a_service_in_another_language_needs_its_metrics_alone(
    path: str, tmp_path: Path, database: str
) -> None:
    with foreign_service() as url:
        async with serve(tmp_path, database, SIDECAR_APP_AGENT_URL=url + path) as program:
            await eventually(program.is_ready)

            async def is_merged() -> bool:
                labels = {"process": "app-1", "job": "a", "instance": "b"}
                return await program.metric("jvm_threads", **labels) == 7

            await eventually(is_merged, NOTICE_SECONDS)
            assert (await checks_of(program))["application"]["outcome"] == "pass"
