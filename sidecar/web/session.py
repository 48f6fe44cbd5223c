"""Browser sessions by a link, so that nobody copies a token and no address contains one.

The link carries a ticket that was made from the token and expires soon, so that it is useless in a
proxy's log or in the history of a browser or terminal. The cookie that it is
exchanged for is made from the token too, so that another server on the same host name, to which
browsers send the cookies of all its ports, never sees the token itself. Both end with the token.
"""

import hmac
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from sidecar.web.answer import PLAIN, problem, respond

LOGIN_PATH: Final = "/login"
TICKET_SECONDS: Final = 600
"""Long enough to walk to another machine with the link."""

_LONGEST_TICKET: Final = 128
_OWN_PAGES: Final = frozenset({"same-origin", "none"})


def login_link(address: str, token: str, now: float) -> str:
    """Return the link that lets a browser in for ten minutes from `now` on, in Unix time."""
    return f"{address}{LOGIN_PATH}?{urlencode({'ticket': make_ticket(token, now)})}"


def make_ticket(token: str, now: float) -> str:
    """Return a proof, good until it expires, that its maker knew the token."""
    ends = str(int(now) + TICKET_SECONDS)
    return f"{ends}.{_sign(token, f'ticket {ends}')}"


def is_valid_ticket(token: str, ticket: str, now: float) -> bool:
    """Return True when a ticket was made from this token and has not expired."""
    ends, _, signature = ticket[:_LONGEST_TICKET].partition(".")
    is_signed = is_equal(signature, _sign(token, f"ticket {ends}"))
    return is_signed and now < int(ends)


def is_known_browser(request: web.BaseRequest, token: str) -> bool:
    """Return True for a browser with the cookie, when it opens a page or one of ours loads a file.

    Another page of the same site, such as one on another port of this machine, may link here, but
    not load from here.
    """
    name, value = _cookie(token)
    offered = request.cookies.get(name)
    if offered is None or not is_equal(offered, value):
        return False
    site = request.headers.get("Sec-Fetch-Site", "none")
    return site in _OWN_PAGES or request.headers.get("Sec-Fetch-Mode") == "navigate"


def accept_ticket(token: str) -> web.Response:
    """Answer a good ticket: set a cookie for this browser session, redirect to the status page.

    The redirect is relative, and the cookie has no path, so that the prefix of a proxy is kept.
    """
    name, value = _cookie(token)
    return respond(
        b"",
        PLAIN,
        status=HTTPStatus.SEE_OTHER.value,
        Location="./",
        Set_Cookie=f"{name}={value}; HttpOnly; SameSite=Strict",
        Referrer_Policy="no-referrer",
    )


def refuse_ticket() -> web.Response:
    """Answer a ticket that has expired or is invalid."""
    return problem(
        HTTPStatus.GONE,
        "This link has ended or is not complete. `sidecar token --link` prints a fresh one.",
    )


@lru_cache(maxsize=4)
def _cookie(token: str) -> tuple[str, str]:
    """Return name and value. The name differs by token: cookies of a host are not kept by port."""
    return f"sidecar_{_sign(token, 'name')[:8]}", _sign(token, "browser")


def _sign(token: str, text: str) -> str:
    return hmac.digest(_bytes(token), b"sidecar " + _bytes(text), "sha256").hex()


def is_equal(left: str, right: str) -> bool:
    """Compare in a time that does not depend on where the texts differ."""
    return hmac.compare_digest(_bytes(left), _bytes(right))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
