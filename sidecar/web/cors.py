"""A CORS policy applied to aiohttp: for the sidecar's routes and for applications."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AnyHandler
from aiohttp.typedefs import Middleware

from sidecar.config.cors import CorsPolicy
from sidecar.web.auth import Handler

_ASKED_HEADERS: Final = hdrs.ACCESS_CONTROL_REQUEST_HEADERS


def cors_middleware(policy: CorsPolicy) -> Middleware:
    """Make a middleware for an application: `web.Application(middlewares=[...])`.

    It answers preflight requests itself and adds the policy's headers to everything else, to
    raised HTTP errors too, or the page could not read why it was refused.
    """

    @web.middleware
    async def apply(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
        if is_preflight(request):
            return answer_preflight(policy, request)
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            _add_headers(policy, request, refusal)
            raise
        _add_headers(policy, request, response)
        return response

    return apply


def grant(policy: CorsPolicy) -> Callable[[Handler], Handler]:
    """Make a wrapper that adds the policy's headers for callers that name their origin."""

    def wrap(handler: Handler) -> Handler:
        async def granted(request: web.Request) -> web.Response:
            response = await handler(request)
            if hdrs.ORIGIN in request.headers:
                _add_headers(policy, request, response)
            return response

        return granted

    return wrap


def preflight(policy: CorsPolicy, *, otherwise: Handler) -> Handler:
    """Make a handler that answers preflight requests and passes on the rest."""

    async def answer(request: web.Request) -> web.Response:
        if is_preflight(request):
            return answer_preflight(policy, request)
        return await otherwise(request)

    return answer


def is_preflight(request: web.Request) -> bool:
    """Tell a browser's question about CORS from any other OPTIONS request."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def answer_preflight(policy: CorsPolicy, request: web.Request) -> web.Response:
    """Say what the policy grants; a refusal is an answer without its headers."""
    headers = policy.preflight_headers(
        request.headers.get(hdrs.ORIGIN), request.headers.get(_ASKED_HEADERS, "")
    )
    return web.Response(status=HTTPStatus.NO_CONTENT.value, headers=headers)


def _add_headers(policy: CorsPolicy, request: web.Request, response: web.StreamResponse) -> None:
    # A streamed response has sent its headers by now.
    if not response.prepared:
        _merge(response, policy.response_headers(request.headers.get(hdrs.ORIGIN)))


def _merge(response: web.StreamResponse, headers: dict[str, str]) -> None:
    vary = headers.pop(hdrs.VARY, None)
    if vary is not None and vary not in response.headers.get(hdrs.VARY, ""):
        response.headers.add(hdrs.VARY, vary)
    response.headers.update(headers)
