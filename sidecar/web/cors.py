"""The CORS policy for applications of aiohttp."""

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AnyHandler
from aiohttp.typedefs import Middleware

from sidecar.config import environ
from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.settings import cors_policy


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
        headers = request.headers
        origin = headers.get(hdrs.ORIGIN)
        is_preflight = origin is not None and hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers
        if is_preflight and request.method == hdrs.METH_OPTIONS:
            wanted = headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
            answer = granted.preflight_headers(origin, wanted)
            return web.Response(status=HTTPStatus.NO_CONTENT.value, headers=answer)
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            _add(refusal, granted.response_headers(origin))
            raise
        _add(response, granted.response_headers(origin))
        return response

    return apply


def _add(response: web.StreamResponse, headers: dict[str, str]) -> None:
    # A streamed response has sent its headers by now.
    if response.prepared:
        return
    vary = headers.pop(hdrs.VARY, None)
    if vary is not None and vary not in response.headers.get(hdrs.VARY, ""):
        response.headers.add(hdrs.VARY, vary)
    response.headers.update(headers)
