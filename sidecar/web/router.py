"""From a request to the page that answers it."""

from typing import Final

from aiohttp import hdrs, web

from sidecar.config.cors import CorsPolicy
from sidecar.web.auth import Handler
from sidecar.web.cors import add_headers, answer_preflight, is_preflight
from sidecar.web.problem import method_not_allowed, not_found

_READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class Router:
    """Pages by path: GET and HEAD answer, OPTIONS asks about CORS, the rest is refused.

    Every path is fixed, so a dictionary serves better than an `Application`, whose routing and
    match objects cost a probe more than all the rest of its answer.
    """

    def __init__(self, cors: CorsPolicy | None = None) -> None:
        self._cors = cors
        self._pages: dict[str, Handler] = {}

    def add(self, page: Handler, *paths: str) -> None:
        """Serve the same page under every path."""
        self._pages |= dict.fromkeys(paths, page)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer a request."""
        # As it was sent, which saves taking the address apart; only else as it is meant.
        page = self._pages.get(request.raw_path) or self._pages.get(request.path)
        if page is None:
            response = await not_found(request)
        elif request.method in _READING:
            response = await page(request)
        elif self._cors is not None and is_preflight(request):
            return answer_preflight(self._cors, request)
        else:
            response = await method_not_allowed(request)
        if self._cors is not None and hdrs.ORIGIN in request.headers:
            add_headers(self._cors, request, response)
        return response
