"""Who gets more than a status word."""

import time
from base64 import b64decode
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import hdrs, web

from sidecar.web.answer import Handler, problem
from sidecar.web.session import (
    accept_ticket,
    is_equal,
    is_known_browser,
    is_valid_ticket,
    refuse_ticket,
)

# Browsers ask for a password at the first; some read only that.
_CHALLENGES: Final = 'Basic realm="sidecar", Bearer realm="sidecar"'


class Token(Protocol):
    """The bearer token, kept by an object that does not print it."""

    def reveal(self) -> str:
        """Return the token itself, as it is now."""


class Guard:
    """Admits callers by the token alone.

    A caller's address and other headers prove nothing: a proxy on this machine calls from
    loopback for clients anywhere, with the headers that it was configured to send.

    Programs send it as a bearer token. Browsers send it as the password of any user name, or send
    the cookie that a link gave them.

    Args:
        token: None admits no caller.
    """

    def __init__(self, token: Token | None) -> None:
        self._token = token

    def admits(self, request: web.BaseRequest) -> bool:
        """Return True when the caller may see details."""
        if self._token is None:
            return False
        headers = request.headers
        if hdrs.AUTHORIZATION in headers:
            offered = _read_token(headers[hdrs.AUTHORIZATION])
            if offered is not None and is_equal(offered, self._token.reveal()):
                return True
        return hdrs.COOKIE in headers and is_known_browser(request, self._token.reveal())

    def protect(self, handler: Handler) -> Handler:
        """Wrap a handler so that only admitted callers reach it."""

        async def guarded(request: web.BaseRequest) -> web.Response:
            return await handler(request) if self.admits(request) else self._refuse()

        return guarded

    async def respond_login(self, request: web.BaseRequest) -> web.Response:
        """Exchange the ticket of a link for a cookie."""
        if self._token is None:
            return self._refuse()
        token = self._token.reveal()
        is_good = is_valid_ticket(token, request.query.get("ticket", ""), time.time())
        return accept_ticket(token) if is_good else refuse_ticket()

    def _refuse(self) -> web.Response:
        if self._token is None:
            return problem(
                HTTPStatus.FORBIDDEN,
                "This answers nobody before SIDECAR_TOKEN is set. Set it, start again, and send it "
                "as 'Authorization: Bearer <token>'.",
            )
        return problem(
            HTTPStatus.UNAUTHORIZED,
            "`sidecar token --link` prints a link that opens this in a browser. Programs send "
            "SIDECAR_TOKEN, or what `sidecar token` prints, as 'Authorization: Bearer <token>'; "
            "as a password it is good with any user name.",
            WWW_Authenticate=_CHALLENGES,
        )


def _read_token(offered: str) -> str | None:
    """Return the token of an `Authorization` header; None when it holds none."""
    scheme, _, credentials = offered.partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            return _read_password(credentials)
        case _:
            return None


def _read_password(credentials: str) -> str | None:
    """Return the password: https://www.rfc-editor.org/rfc/rfc7617#section-2."""
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return None
