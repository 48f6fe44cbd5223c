"""The listening socket: limits for clients of every kind, and an orderly end."""

import errno
import logging
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import UsageError

KEEPALIVE_SECONDS: Final = 75.0
"""Also the time for a whole request head, counted from the connection or the last answer."""

HEADER_LIMIT_BYTES: Final = 8190
SHUTDOWN_SECONDS: Final = 2.0
BACKLOG: Final = 1024

logger = logging.getLogger(__name__)


class Listener:
    """A server that listens; whoever opened it closes it."""

    def __init__(self, runner: web.AppRunner, host: str) -> None:
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


async def serve(app: web.Application, host: str, port: int) -> Listener:
    """Listen on a host and port; port 0 lets the system choose.

    Signals are left to whoever owns the process.

    Raises:
        UsageError: The address cannot be listened on.
    """
    logger.addFilter(hush_malformed)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        logger=logger,
        keepalive_timeout=KEEPALIVE_SECONDS,
        max_line_size=HEADER_LIMIT_BYTES,
        max_field_size=HEADER_LIMIT_BYTES,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        await runner.cleanup()
        raise UsageError(_explain(error, host, port)) from error
    return Listener(runner, host)


def hush_malformed(record: logging.LogRecord) -> bool:
    """Take the traceback off the record of a malformed request, and the alarm out of it.

    Anybody can send one, and its traceback quotes it, credentials included.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "Refused a malformed request (%s)", (type(error).__name__,)
        record.event = "sidecar.http.malformed"
    return True


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
