"""`health_application.py KIND PORT AGENT_PORT`: a service with an agent, of three kinds.

SIGUSR1 blocks its event loop for `BLOCK_SECONDS`; SIGUSR2 breaks its payments, and mends them.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import sidecar
from sidecar.events.publisher import EventPublisher
from sidecar.health.outcome import CheckResult, failed, passed
from sidecar.health.registry import Checks

checks = Checks()
broken = asyncio.Event()
publisher = EventPublisher()


@checks.readiness(
    "payments", interval_seconds=0.1, fail_after=1, recover_after=1, groups=frozenset({"money"})
)
async def payments() -> CheckResult:
    return failed("payments.unreachable") if broken.is_set() else passed()


@checks.readiness("stock", critical=False)
async def stock() -> CheckResult:
    raise LookupError("postgresql://stock:hunter2@stock.internal/stock")


def block() -> None:
    time.sleep(float(os.environ["BLOCK_SECONDS"]))
    Path(os.environ["BLOCK_OVER"]).touch()


def toggle() -> None:
    if broken.is_set():
        broken.clear()
    else:
        broken.set()


def agent(port: int) -> AbstractAsyncContextManager[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, block)
    loop.add_signal_handler(signal.SIGUSR2, toggle)
    return sidecar.agent(publisher=publisher, checks=checks, port=port)


def run_aiohttp(port: int, agent_port: int) -> None:
    from aiohttp import web  # noqa: PLC0415 - each kind needs no other's library

    async def lend(_application: web.Application) -> AsyncIterator[None]:
        async with agent(agent_port):
            yield

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="shop")

    application = web.Application()
    application.router.add_get("/shop", answer)
    application.cleanup_ctx.append(lend)
    web.run_app(application, host="127.0.0.1", port=port, print=None)


def run_fastapi(port: int, agent_port: int) -> None:
    import uvicorn  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    @asynccontextmanager
    async def lifespan(_application: FastAPI) -> AsyncIterator[None]:
        async with agent(agent_port):
            yield

    application = FastAPI(lifespan=lifespan)

    @application.get("/shop")
    async def answer() -> str:
        return "shop"

    uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning")


def run_asyncio(_port: int, agent_port: int) -> None:
    async def main() -> None:
        async with agent(agent_port):
            await asyncio.Event().wait()

    asyncio.run(main())


KINDS = {"aiohttp": run_aiohttp, "fastapi": run_fastapi, "asyncio": run_asyncio}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
