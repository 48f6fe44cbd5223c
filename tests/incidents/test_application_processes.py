"""The FastAPI application of docs/develop.md in two processes, watched by one sidecar."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from tests.incidents.patience import eventually
from tests.incidents.program import Program, environment, serve
from tests.incidents.services.orders import make_tables
from tests.port import free_port

ROOT: Final = Path(__file__).parents[2]
APPLICATION: Final = "tests.incidents.services.fastapi_shop:app"
GUNICORN: Final = ("gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-w", "2", APPLICATION)
SERVERS: Final = {
    "uvicorn": ("uvicorn", APPLICATION, "--workers", "2"),
    "gunicorn": GUNICORN,
    "gunicorn --preload": (*GUNICORN, "--preload"),
}
START_SECONDS: Final = 30.0
NOTICE_SECONDS: Final = 3.0


class Site:
    """An application with its processes, and those who use it."""

    def __init__(self, server: str, folder: Path, dsn: str, http: ClientSession) -> None:
        port = free_port()
        name, *words = SERVERS[server]
        place = ("--port", str(port)) if name == "uvicorn" else ("-b", f"127.0.0.1:{port}")
        self._url: Final = f"http://127.0.0.1:{port}/orders"
        self._http: Final = http
        self._log: Final = folder / "site.log"
        # As a team did that has set a port before: one of the processes gets it.
        environ = environment(
            folder,
            DATABASE_URL=dsn,
            ENVIRONMENT="development",
            PYTHONPATH=str(ROOT),
            SIDECAR_AGENT_PORT=str(free_port()),
        )
        with self._log.open("wb") as log:
            self.process: Final = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", name, *words, *place],
                env=environ,
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def order(self) -> bool:
        assert self.process.poll() is None, self._log.read_text("utf-8")
        with suppress(ClientError, OSError, TimeoutError):
            order = {"customer": "Ada", "cents": 1}
            async with self._http.post(self._url, json=order) as answer:
                return answer.status == 201
        return False

    async def end(self) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 20.0)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@asynccontextmanager
async def open_site(server: str, folder: Path, dsn: str) -> AsyncIterator[Site]:
    # A connection each, so that both processes get some.
    connector = TCPConnector(force_close=True)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=10.0)) as http:
        site = Site(server, folder, dsn, http)
        try:
            await eventually(site.order, START_SECONDS)
            yield site
        finally:
            site.kill()


async def processes(program: Program) -> dict[str, int]:
    """Return the process ids of the application by name, as the status tells them."""
    told = (await program.get("/api/status")).json()["application"]
    return {each["name"]: each["pid"] for each in told}


async def application(program: Program) -> dict[str, Any]:
    checks = (await program.get("/ready")).json()["checks"]
    told: dict[str, Any] = checks.get("application:silence", [{}])[0]
    return told


async def expect(program: Program, reason: str, observed: str | None = None) -> None:
    async def is_told() -> bool:
        told = await application(program)
        is_named = observed is None or told.get("observedValue") == observed
        return told.get("output", "" if told else None) == reason and is_named

    is_told.__qualname__ = f"application is {reason or 'well'}"
    await eventually(is_told, NOTICE_SECONDS)


async def expect_two(program: Program) -> dict[str, int]:
    async def are_two() -> dict[str, int]:
        known = await processes(program)
        return known if known.keys() == {"app-1", "app-2"} and all(known.values()) else {}

    return await eventually(are_two, START_SECONDS)


async def expect_all_counted(program: Program, site: Site) -> None:
    """Place orders until both processes had some, and see each of them once."""
    orders = 1

    async def are_shared_out() -> bool:
        nonlocal orders
        orders += await site.order()
        return all(await counts(program))

    async def are_all_seen() -> bool:
        return sum(await counts(program)) == orders

    await eventually(are_shared_out, START_SECONDS)
    await eventually(are_all_seen, NOTICE_SECONDS)


async def counts(program: Program) -> list[int]:
    return [await published(program, name) for name in ("app-1", "app-2")]


async def published(program: Program, process: str) -> int:
    labels = {"process": process, "event_type": "OrderPlaced"}
    return int(await program.metric("sidecar_events_published_total", **labels) or 0)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_site_of_two_processes_serves_and_each_of_them_is_watched(
    server: str, tmp_path: Path, database: str
) -> None:
    await make_tables(database)
    async with serve(tmp_path, database) as program:
        async with open_site(server, tmp_path, database) as site:
            before = await expect_two(program)
            await expect(program, "")
            await expect_all_counted(program, site)
            pools = (await program.get("/api/status")).json()["pools"]
            assert {(each["process"], each["name"]) for each in pools} == {
                ("app-1", "shop"),
                ("app-2", "shop"),
            }
            os.kill(before["app-2"], signal.SIGSTOP)
            await expect(program, "application.silent", "app-2")
            assert await program.is_ready()
            os.kill(before["app-2"], signal.SIGKILL)
            await expect(program, "application.lost", "app-2")
            after = await expect_two(program)
            assert after["app-1"] == before["app-1"]
            assert after["app-2"] != before["app-2"]
            assert await eventually(site.order)
            await site.end()
            await expect(program, "application.ended")
        assert await program.is_unready()
