"""The agent: a process's own numbers, served on loopback from its own event loop.

An answer is therefore also a heartbeat: a loop that is stuck does not answer. Both ends stand here,
the page that a process serves and the reader that the probe process polls it with.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Self

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, ConnectionTimeoutError, hdrs, web

from sidecar.errors import UsageError
from sidecar.process.pulse import Pulse

READ_TIMEOUT_SECONDS: Final = 1.0
CONNECT_TIMEOUT_SECONDS: Final = 0.5
PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4"
MAX_EXPOSITION_BYTES: Final = 4 * 1024 * 1024

Exposition = Callable[[str | None], tuple[bytes, str]]
"""Takes the Accept header and returns the metrics with their content type."""

_encode = msgspec.json.Encoder().encode


class Agent:
    """Serves `/metrics` and `/heartbeat`. Use it as an async context manager.

    Args:
        exposition: Renders the metrics; reads memory only.
        heartbeat: What else the process tells of itself, as plain JSON data.
        pulse: The loop lag told, and beaten while the agent runs.
        listener: A listening socket, which the agent closes.
    """

    def __init__(
        self,
        *,
        exposition: Exposition,
        heartbeat: Callable[[], Mapping[str, object]],
        pulse: Pulse,
        listener: socket.socket,
    ) -> None:
        self._exposition = exposition
        self._heartbeat = heartbeat
        self._pulse = pulse
        self._listener = listener
        application = web.Application()
        application.router.add_get("/metrics", self._answer_metrics)
        application.router.add_get("/heartbeat", self._answer_heartbeat)
        self._runner: Final = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        self._beat: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to answer."""
        self._beat = asyncio.create_task(self._pulse.run())
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop answering."""
        await self._runner.cleanup()
        if self._beat is not None:
            self._beat.cancel()
            with suppress(asyncio.CancelledError):
                await self._beat

    async def _answer_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._exposition(request.headers.get("Accept"))
        return web.Response(body=body, headers={"Content-Type": content_type, **_NO_STORE})

    async def _answer_heartbeat(self, _: web.Request) -> web.Response:
        told = {"loop_lag_seconds": self._pulse.lag_seconds, **self._heartbeat()}
        return web.Response(
            body=_encode(told), headers={"Content-Type": "application/json", **_NO_STORE}
        )


_NO_STORE: Final = {"Cache-Control": "no-store"}


class AgentSilentError(Exception):
    """An agent did not answer in time, or not as an agent does."""


class UnreachableError(AgentSilentError):
    """Nobody listens there, or whoever does hangs up."""


class AgentReader:
    """Reads the agents of other processes. Use it as an async context manager."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the HTTP session."""
        limit = ClientTimeout(total=READ_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS)
        self._session = ClientSession(timeout=limit)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def read_heartbeat(self, url: str) -> Mapping[str, object]:
        """Return what a process tells of itself.

        Raises:
            UnreachableError: Nobody listens.
            AgentSilentError: No answer within a second, or not a JSON object.
        """
        body = await self._read(url, "application/json")
        try:
            return msgspec.json.decode(body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AgentSilentError(f"{url} is no JSON object") from error

    async def read_metrics(self, url: str) -> str:
        """Return a process's metrics in Prometheus text format.

        Raises:
            UnreachableError: Nobody listens.
            AgentSilentError: No answer within a second, too long a one, or not text.
        """
        body = await self._read(url, PROMETHEUS_TEXT)
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise AgentSilentError(f"{url} is no UTF-8 text") from error

    async def read_status(self, url: str) -> int:
        """Return the HTTP status of any address, such as the application's own port.

        Raises:
            UnreachableError: Nobody listens.
            AgentSilentError: No answer within a second.
        """
        with _naming(url):
            async with self._open().get(url, allow_redirects=False) as answer:
                return answer.status

    def _open(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("an AgentReader is used inside `async with`")
        return self._session

    async def _read(self, url: str, accept: str) -> bytes:
        headers = {hdrs.ACCEPT: accept}
        with _naming(url):
            async with self._open().get(url, headers=headers, allow_redirects=False) as answer:
                body = await answer.content.read(MAX_EXPOSITION_BYTES + 1)
                while len(body) <= MAX_EXPOSITION_BYTES and not answer.content.at_eof():
                    body += await answer.content.read(MAX_EXPOSITION_BYTES + 1 - len(body))
                status = answer.status
        if status != 200 or len(body) > MAX_EXPOSITION_BYTES:  # noqa: PLR2004 - HTTP's OK
            raise AgentSilentError(f"{url} answered {status} with {len(body)} bytes")
        return body


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Tell a process that is late from one that is not there."""
    try:
        yield
    except ConnectionTimeoutError as error:
        raise UnreachableError(f"{url}: no connection") from error
    except TimeoutError as error:
        raise AgentSilentError(f"{url}: no answer within {READ_TIMEOUT_SECONDS:g} s") from error
    except (ClientError, OSError, ValueError) as error:
        raise UnreachableError(f"{url}: {type(error).__name__}") from error


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
