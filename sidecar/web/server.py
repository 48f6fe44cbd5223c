"""The listening socket: limits for clients of every kind, and an orderly end."""

import errno
import logging
from typing import Final

from aiohttp import web

from sidecar.errors import UsageError
from sidecar.web.answer import Handler
from sidecar.web.client_connection import MAX_CONNECTIONS, HttpServer, downgrade_malformed

KEEPALIVE_SECONDS: Final = 75.0
"""Longer than a minute's scrape interval, so that scrapers keep their connection."""

HEADER_LIMIT_BYTES: Final = 8190
SHUTDOWN_SECONDS: Final = 2.0
BACKLOG: Final = 1024

logger = logging.getLogger(__name__)


class Listener:
    """A listening server, to be closed by the caller of `serve`."""

    def __init__(self, runner: web.ServerRunner, host: str) -> None:
        self._runner = runner
        self.host: Final = host
        self.port: Final[int] = runner.addresses[0][1]

    @property
    def url(self) -> str:
        """The address to open, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def close(self) -> None:
        """Take no more connections, let running requests finish (at most 2 s), and close."""
        await self._runner.cleanup()


async def serve(
    answer: Handler,
    host: str,
    port: int,
    *,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
    most_connections: int = MAX_CONNECTIONS,
) -> Listener:
    """Listen on a host and port; port 0 lets the system choose. It handles no signals.

    A whole request head has the keepalive's time, counted from the connection or the last answer;
    afterwards the connection is closed, however slowly its client trickles. Where there are more
    than the most connections, one on which nothing is asked is closed.

    Raises:
        UsageError: The address cannot be listened on.
    """
    logger.addFilter(downgrade_malformed)
    server = HttpServer(
        answer,
        access_log=None,
        logger=logger,
        keepalive_timeout=keepalive_seconds,
        max_line_size=HEADER_LIMIT_BYTES,
        max_field_size=HEADER_LIMIT_BYTES,
    )
    server.most_connections = most_connections
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        await runner.cleanup()
        raise UsageError(_explain(error, host, port)) from error
    return Listener(runner, host)


def _explain(error: OSError, host: str, port: int) -> str:
    place = f"port {port} on {host}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"Cannot listen: {place} is taken. Stop the other process, or set SIDECAR_PORT."
        case errno.EACCES:
            return f"Cannot listen: {place} needs more rights. Set SIDECAR_PORT above 1023."
        case _:
            return (
                f"Cannot listen on {place}: {error.strerror or 'the address is not usable'}. "
                "Set SIDECAR_HOST and SIDECAR_PORT to an address of this machine."
            )
