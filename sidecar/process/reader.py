"""Reading agents: how the probe process polls what other processes serve."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self

import msgspec
from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    UnixConnector,
    hdrs,
)

READ_TIMEOUT_SECONDS: Final = 1.0
CONNECT_TIMEOUT_SECONDS: Final = 0.5
PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4"
MAX_EXPOSITION_BYTES: Final = 4 * 1024 * 1024


class AgentSilentError(Exception):
    """An agent did not answer in time, or not as an agent does."""


class UnreachableError(AgentSilentError):
    """Nothing listens there, or it hangs up."""


class OverlongError(AgentSilentError):
    """An agent answers with more than is read."""


class AgentReader:
    """Reads the agents of other processes. Make it as an async context manager, in a loop.

    A question raises UnreachableError where nobody listens, OverlongError where the answer is
    longer than the limit, and AgentSilentError where none fits, or none comes within a second.
    With a `socket_path` every URL is asked at that Unix socket.
    """

    def __init__(self, socket_path: str | None = None) -> None:
        limit = ClientTimeout(total=READ_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS)
        connector = None if socket_path is None else UnixConnector(socket_path)
        self._session: Final = ClientSession(timeout=limit, connector=connector)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the HTTP session."""
        await self._session.close()

    async def read_heartbeat(self, url: str, limit_bytes: int) -> Mapping[str, object]:
        """Return the fields of a process's heartbeat, a JSON object."""
        body = await self._read(url, "application/json", limit_bytes)
        try:
            return msgspec.json.decode(body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise AgentSilentError(f"{url} is no JSON object") from error

    async def read_metrics(self, url: str) -> str:
        """Return a process's metrics in Prometheus text format."""
        body = await self._read(url, PROMETHEUS_TEXT, MAX_EXPOSITION_BYTES)
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise AgentSilentError(f"{url} is no UTF-8 text") from error

    async def read_status(self, url: str) -> int:
        """Return the HTTP status of any address, such as the application's own port."""
        with _naming(url):
            async with self._session.get(url, allow_redirects=False) as answer:
                return answer.status

    async def _read(self, url: str, accept: str, limit_bytes: int) -> bytes:
        headers, body = {hdrs.ACCEPT: accept}, bytearray()
        with _naming(url):
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > limit_bytes:
                        raise OverlongError(f"{url} answered with more than {limit_bytes} bytes")
                status = answer.status
        if status != 200:  # noqa: PLR2004 - HTTP's OK
            raise AgentSilentError(f"{url} answered {status}")
        return bytes(body)


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Distinguish a process that is late from one that is not there."""
    try:
        yield
    except ConnectionTimeoutError as error:
        raise UnreachableError(f"{url}: no connection") from error
    except TimeoutError as error:
        raise AgentSilentError(f"{url}: no answer within {READ_TIMEOUT_SECONDS:g} s") from error
    except (ClientError, OSError, ValueError) as error:
        raise UnreachableError(f"{url}: {type(error).__name__}") from error
