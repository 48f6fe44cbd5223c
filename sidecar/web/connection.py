"""One client's connection, and how it ends after a malformed request."""

import logging
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from typing_extensions import override

LINGER_SECONDS: Final = 2.0


class Connection(web.RequestHandler):
    """Lets the refusal of a malformed request arrive.

    A socket that is closed with unread input is reset, which takes the answer from the client
    that is still sending its megabyte of headers. So the rest is read and dropped, for a moment.
    """

    __slots__ = ()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        response = super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError):
            self._linger()
        return response

    def _linger(self) -> None:
        # From here on input is dropped, and closing is left to the client or the timer.
        self._force_close = True
        self._loop.call_soon(self._end_output)
        self._loop.call_later(LINGER_SECONDS, self.force_close)

    def _end_output(self) -> None:
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()


class Server(web.Server):
    """Makes a `Connection` for each client."""

    @override
    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


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
