"""A CORS policy applied to aiohttp: for the sidecar's routes and for applications."""

from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AnyHandler
from aiohttp.typedefs import Middleware

from sidecar.config import environ
from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.settings import cors_policy

_ASKED_HEADERS: Final = hdrs.ACCESS_CONTROL_REQUEST_HEADERS


def cors_middleware(policy: CorsPolicy | None = None) -> Middleware:
    """Make a middleware for an application: `web.Application(middlewares=[cors_middleware()])`.

    It answers preflight requests itself and adds the policy's headers to everything else, to
    raised HTTP errors too, or the page could not read why it was refused.

    Args:
        policy: Who may call; by default the origins in CORS_ORIGINS, read now.
    """
    granted = cors_policy(environ.read()) if policy is None else policy

    @web.middleware
    async def apply(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
        if is_preflight(request):
            return answer_preflight(granted, request)
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            add_headers(granted, request, refusal)
            raise
        add_headers(granted, request, response)
        return response

    return apply


def is_preflight(request: web.BaseRequest) -> bool:
    """Tell a browser's question about CORS from any other OPTIONS request."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def answer_preflight(policy: CorsPolicy, request: web.BaseRequest) -> web.Response:
    """Say what the policy grants; a refusal is an answer without its headers."""
    headers = policy.preflight_headers(
        request.headers.get(hdrs.ORIGIN), request.headers.get(_ASKED_HEADERS, "")
    )
    return web.Response(status=HTTPStatus.NO_CONTENT.value, headers=headers)


def add_headers(policy: CorsPolicy, request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Say in an answer who may read it."""
    # A streamed response has sent its headers by now.
    if not response.prepared:
        _merge(response, policy.response_headers(request.headers.get(hdrs.ORIGIN)))


def _merge(response: web.StreamResponse, headers: dict[str, str]) -> None:
    vary = headers.pop(hdrs.VARY, None)
    if vary is not None and vary not in response.headers.get(hdrs.VARY, ""):
        response.headers.add(hdrs.VARY, vary)
    response.headers.update(headers)
