"""The bare server that an agent answers with: it shows no versions of libraries."""

from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from typing_extensions import override

SERVER: Final = "event-sidecar"


class AgentServer(web.Server):
    """Makes a connection of ours for each client."""

    @override
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # It logs the error; its answer repeats what was asked.
        super().handle_error(request, status, exc, message)
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n")
        response.force_close()
        return response

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.StreamResponse):
            resp.headers.setdefault(hdrs.SERVER, SERVER)
        return await super().finish_response(request, resp, start_time)
