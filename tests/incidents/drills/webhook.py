"""Stand-ins for those whom others tell: the pager of Alertmanager, the collector of traces."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiohttp import web

from tests.incidents.endpoint import serving
from tests.port import free_port

HEARTBEAT: Final = "SidecarWatchdog"

Message = dict[str, Any]
Take = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.messages: Final[list[Message]] = []

    async def take(self, request: web.Request) -> web.Response:
        message = {"to": request.path[1:], "came_mono": time.monotonic(), **await request.json()}
        self.messages.append(message)
        return web.Response()

    def names(self, status: str = "firing") -> set[str]:
        """Tell which alerts have been told of, the watchdog aside."""
        told = (alert for message in self.messages for alert in message["alerts"])
        names = {alert["labels"]["alertname"] for alert in told if alert["status"] == status}
        return names - {HEARTBEAT}

    def find(self, name: str, status: str, after_mono: float = 0.0) -> Message | None:
        for message in self.messages:
            if message["came_mono"] < after_mono:
                continue
            for alert in message["alerts"]:
                if alert["labels"]["alertname"] == name and alert["status"] == status:
                    return {"to": message["to"], **alert}
        return None


class Sink:
    """Stands for a collector: takes all that is sent, at an address that stays the same."""

    def __init__(self) -> None:
        self.port: Final = free_port()
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self._stack.enter_async_context(listening(self._take, self.port))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def listening(take: Take, port: int = 0) -> AsyncIterator[str]:
    """Take every POST and yield the address."""
    application = web.Application()
    application.router.add_post("/{path:.*}", take)
    async with serving(application, port) as url:
        yield url
