"""Answers with the headers that all carry, and refusals as problem documents (RFC 9457)."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
PLAIN: Final = "text/plain; charset=utf-8"
PROBLEM_JSON: Final = "application/problem+json"

SERVER: Final = "event-sidecar"

RETRY_AFTER_SECONDS: Final = 5
"""`Retry-After` of a 503; about the time in which checks confirm a change."""

Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]


def respond(body: bytes, content_type: str, *, status: int = 200, **more: str) -> web.Response:
    """Build an answer; `more` are headers written with underscores for dashes."""
    headers = headers_for(content_type)
    for name, value in more.items():
        headers[name.replace("_", "-")] = value
    return web.Response(body=body, status=status, headers=headers)


def respond_json(document: object) -> web.Response:
    """Build an answer for machines; a value that is not a finite number becomes null."""
    return respond(msgspec.json.encode(document), JSON)


def problem(status: HTTPStatus, detail: str, **headers: str) -> web.Response:
    """Build a refusal; `detail` says what to do and echoes nothing of the request."""
    document = {"title": status.phrase, "status": status.value, "detail": detail}
    return respond(msgspec.json.encode(document), PROBLEM_JSON, status=status.value, **headers)


def fixed(body: bytes, content_type: str) -> Handler:
    """Answer every request with the same."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return respond(body, content_type)

    return answer


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
