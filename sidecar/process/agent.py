"""The agent: a process's own numbers, served from its own event loop.

An answer is therefore also a heartbeat: a loop that is stuck does not answer.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Self

import msgspec
from aiohttp import hdrs, web

from sidecar.errors import UsageError
from sidecar.process.agent_server import AgentServer
from sidecar.process.background import Background
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.host import is_rebound
from sidecar.process.loop_lag import LoopLagMonitor

SHUTDOWN_SECONDS: Final = 1.0

Exposition = Callable[[], tuple[bytes, str]]
"""Returns the metrics with their content type."""

ReadHeartbeat = Callable[[], Heartbeat]

_JSON: Final = "application/json"
_NO_STORE: Final = {hdrs.CACHE_CONTROL: "no-store"}
_encode = msgspec.json.Encoder().encode


class Agent:
    """Serves `/metrics` and `/heartbeat`. Use it as an async context manager.

    It is a bare server: whatever instruments the applications of aiohttp does not see it, so that
    the polls of a sidecar are in nobody's traces and metrics.

    Args:
        listeners: Listening sockets, which the agent closes.
        exposition: Renders the metrics; reads memory only.
        heartbeat: Returns what else the process reports; reads memory only.
        lag_monitor: Measures the event loop's lag while the agent runs.
    """

    def __init__(
        self,
        *listeners: socket.socket,
        exposition: Exposition,
        heartbeat: ReadHeartbeat,
        lag_monitor: LoopLagMonitor,
    ) -> None:
        self._listeners: Final = listeners
        self._exposition = exposition
        self._heartbeat = heartbeat
        self._lag_monitor = lag_monitor

    async def __aenter__(self) -> Self:
        """Start to answer."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            background = await stack.enter_async_context(Background())
            background.start("loop-lag", self._lag_monitor.run)
            server = AgentServer(self._answer, access_log=None)
            stack.push_async_callback(server.shutdown, SHUTDOWN_SECONDS)
            for listener in self._listeners:
                is_unix = listener.family == socket.AF_UNIX
                start = loop.create_unix_server if is_unix else loop.create_server
                stack.callback((await start(server, sock=listener)).close)
            self._end = stack.pop_all().aclose
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop answering."""
        await self._end()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if is_rebound(request):
            return web.Response(status=403, text="The agent answers to its own addresses alone.\n")
        if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return web.Response(status=405, headers={hdrs.ALLOW: "GET, HEAD"})
        match request.path:
            case "/metrics":
                body, content_type = self._exposition()
            case "/heartbeat":
                lag_seconds = self._lag_monitor.lag_seconds
                beat = msgspec.structs.replace(self._heartbeat(), loop_lag_seconds=lag_seconds)
                body, content_type = _encode(beat), _JSON
            case _:
                return web.Response(status=404)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type, **_NO_STORE})


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket for an agent; port 0 lets the system choose.

    Raises:
        UsageError: The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"The agent cannot listen on {host}:{port}: {error.strerror}. Set SIDECAR_AGENT_PORT "
            "to a free port; each process of one machine needs its own."
        ) from error
