"""Refusals as problem documents (RFC 9457)."""

from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from sidecar.web.header import respond

PROBLEM_JSON: Final = "application/problem+json"


def problem(status: HTTPStatus, detail: str, **headers: str) -> web.Response:
    """Build a refusal; `detail` says what to do and echoes nothing of the request."""
    document = {"title": status.phrase, "status": status.value, "detail": detail}
    return respond(msgspec.json.encode(document), PROBLEM_JSON, status=status.value, **headers)


async def not_found(_request: web.BaseRequest) -> web.Response:
    """Answer for a path that does not exist."""
    return problem(
        HTTPStatus.NOT_FOUND,
        "There is nothing here. The paths are /health, /ready, /startup, /metrics, "
        "/config-report, /api/status, /openapi.json and /.",
    )


async def method_not_allowed(_request: web.BaseRequest) -> web.Response:
    """Answer for any method that could change something."""
    return problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "Nothing is changed over HTTP: use GET or HEAD here, and the command line for the rest.",
        Allow="GET, HEAD",
    )
