"""Headers that every answer carries, and the way to build one from bytes."""

from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
PLAIN: Final = "text/plain; charset=utf-8"

SERVER: Final = "event-sidecar"

RETRY_AFTER_SECONDS: Final = 5
"""`Retry-After` of a 503; about the time in which checks confirm a change."""


def respond(body: bytes, content_type: str, *, status: int = 200, **more: str) -> web.Response:
    """Build an answer; `more` are headers written with underscores for dashes."""
    headers = headers_for(content_type)
    for name, value in more.items():
        headers[name.replace("_", "-")] = value
    return web.Response(body=body, status=status, headers=headers)


def headers_for(content_type: str) -> CIMultiDict[str]:
    """Return fresh headers: never cached, never sniffed, without versions of libraries."""
    return CIMultiDict(
        {
            hdrs.CONTENT_TYPE: content_type,
            hdrs.CACHE_CONTROL: "no-store",
            "X-Content-Type-Options": "nosniff",
            hdrs.SERVER: SERVER,
        }
    )
