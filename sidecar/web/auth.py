"""Who may see more than a status word."""

import hmac
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import hdrs, web
from multidict import istr

from sidecar.web.problem import problem

Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]

# Browsers ask a person for a password when they see the first; some read no further.
_CHALLENGES: Final = 'Basic realm="sidecar", Bearer realm="sidecar"'
_X_REAL_IP: Final = istr("X-Real-IP")
_LOOPBACK_PREFIXES: Final = ("127.", "::ffff:127.")
_LOOPBACK_HOSTS: Final = ("localhost", "::1")
_IPV6_HOST: Final = re.compile(r"^\[([^\]]*)\](:\d+)?$")


class Token(Protocol):
    """The bearer token, kept by an object that does not print it."""

    def reveal(self) -> str:
        """Return the token itself."""


class Guard:
    """Decides by the token or, where none is configured, by a direct loopback peer.

    Programs send the token as a bearer's, browsers as the password of whatever user name.
    """

    def __init__(self, token: Token | None) -> None:
        self._token = token

    def admits(self, request: web.BaseRequest) -> bool:
        """Tell whether the caller may see details."""
        if self._token is None:
            return is_direct_loopback(request)
        offered = _read_token(request.headers.get(hdrs.AUTHORIZATION, ""))
        return offered is not None and hmac.compare_digest(
            _bytes(offered), _bytes(self._token.reveal())
        )

    def protect(self, handler: Handler) -> Handler:
        """Wrap a handler so that only admitted callers reach it."""

        async def guarded(request: web.BaseRequest) -> web.Response:
            return await handler(request) if self.admits(request) else self._refuse()

        return guarded

    def _refuse(self) -> web.Response:
        if self._token is None:
            return problem(
                HTTPStatus.FORBIDDEN,
                "Without SIDECAR_TOKEN this answers direct callers on loopback only. Set it, and "
                "send it as 'Authorization: Bearer <token>'.",
            )
        return problem(
            HTTPStatus.UNAUTHORIZED,
            "Send the value of SIDECAR_TOKEN as 'Authorization: Bearer <token>', or type it into a "
            "browser as the password, with any user name.",
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
    """Return what stands behind the user name: https://www.rfc-editor.org/rfc/rfc7617#section-2."""
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return None


def is_direct_loopback(request: web.BaseRequest) -> bool:
    """Tell whether the caller sits on this machine and speaks for itself.

    A proxy on this machine also connects from loopback, for callers anywhere: it is known by the
    headers that proxies add. A web page whose name was rebound to 127.0.0.1 makes the browser of a
    person on this machine call: it is known by its host name.
    """
    headers = request.headers
    return (
        is_loopback(request.remote, headers.get(hdrs.HOST))
        # Spelt out, because probes come through here: a loop would cost more than the answer.
        and hdrs.X_FORWARDED_FOR not in headers
        and hdrs.FORWARDED not in headers
        and hdrs.VIA not in headers
        and _X_REAL_IP not in headers
    )


@lru_cache(maxsize=64)
def is_loopback(peer: str | None, host: str | None) -> bool:
    """Tell whether a peer's address and the `Host` it asked for both are this machine's own.

    HTTP/1.0 has no `Host`, and no browser speaks it.
    """
    return _is_loopback_address(peer) and (host is None or _is_loopback_host(host))


def _is_loopback_address(address: str | None) -> bool:
    return address is not None and (address == "::1" or address.startswith(_LOOPBACK_PREFIXES))


def _is_loopback_host(host: str) -> bool:
    name = _IPV6_HOST.sub(r"\1", host) if host.startswith("[") else host.partition(":")[0]
    # Digits only, so that 127.0.0.1.example.com does not pass for an address.
    is_address = name.startswith("127.") and name.replace(".", "").isdigit()
    return is_address or name.lower() in _LOOPBACK_HOSTS


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
