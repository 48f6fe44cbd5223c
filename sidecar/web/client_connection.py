"""One client's connection, how it ends after a malformed request, and how many there may be."""

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from typing_extensions import override

from sidecar.web.answer import problem

LINGER_SECONDS: Final = 2.0
MAX_CONNECTIONS: Final = 512
"""Far more than a probe process has clients, and below the usual limit of 1,024 open files."""

_MALFORMED: Final = "This is no HTTP request that can be read."
_FAILED: Final = "The answer could not be made. The log says why."


class ClientConnection(web.RequestHandler):
    """Makes sure that the refusal of a malformed request arrives.

    A socket that is closed with unread input is reset, which takes the answer from the client
    that is still sending its megabyte of headers. So the rest is read and dropped, for a moment.
    """

    __slots__ = ()

    @property
    def is_idle(self) -> bool:
        """Whether it is idle and not closed already."""
        if self._messages or self._force_close:
            return False
        return self._current_request is None

    @property
    def has_asked(self) -> bool:
        """Whether it has received a complete request."""
        return self._request_count > 0

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # It logs the error; its answer would repeat the request and name versions of libraries.
        super().handle_error(request, status, exc, message)
        is_malformed = isinstance(exc, HttpProcessingError)
        response = problem(HTTPStatus(status), _MALFORMED if is_malformed else _FAILED)
        response.force_close()
        if is_malformed:
            self._linger()
        return response

    def _linger(self) -> None:
        # From now on input is dropped; the client or the timer closes the connection.
        self._force_close = True
        self._loop.call_soon(self._end_output)
        self._loop.call_later(LINGER_SECONDS, self.force_close)

    def _end_output(self) -> None:
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()


class HttpServer(web.Server):
    """Makes a `ClientConnection` for each client, and closes idle ones when there are too many.

    The oldest that never received a request goes first: a real client sends one at once.

    Attributes:
        most_connections: How many there may be.
    """

    most_connections = MAX_CONNECTIONS

    @override
    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._connections) > self.most_connections:
            self._close_one(but=handler)

    def _close_one(self, *, but: web.RequestHandler) -> None:
        idle = [
            each
            for each in self._connections
            if isinstance(each, ClientConnection) and each is not but and each.is_idle
        ]
        if idle:
            min(idle, key=lambda each: each.has_asked).force_close()

    @override
    def __call__(self) -> ClientConnection:
        return ClientConnection(self, loop=self._loop, **self._kwargs)


def downgrade_malformed(record: logging.LogRecord) -> bool:
    """Log a malformed request as INFO and without its traceback.

    Any client can send one, and the traceback quotes it, credentials included.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "Refused a malformed request (%s)", (type(error).__name__,)
        record.event = "sidecar.http.malformed"
    return True
