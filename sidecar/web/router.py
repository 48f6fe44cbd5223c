"""From a request to the page that answers it."""

from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from sidecar.web.answer import Handler, problem

_READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class Router:
    """Pages by path: GET and HEAD answer, the rest is refused.

    There are no CORS headers: the CORS policy of the service is for the service's pages only.

    Every path is fixed, so a dictionary serves better than an `Application`, whose routing and
    match objects cost a probe more than all the rest of its answer.
    """

    def __init__(self) -> None:
        self._pages: dict[str, Handler] = {}

    def add(self, page: Handler, *paths: str) -> None:
        """Serve the same page under every path."""
        self._pages |= dict.fromkeys(paths, page)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer a request."""
        # The path as it was sent saves parsing the address; the parsed one is the fallback.
        page = self._pages.get(request.raw_path) or self._pages.get(request.path)
        if page is None:
            return problem(
                HTTPStatus.NOT_FOUND,
                "There is nothing here. The paths are /health, /ready, /startup, /metrics, "
                "/config-report, /api/status, /openapi.json and /.",
            )
        if request.method not in _READING:
            return problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "Nothing is changed over HTTP: use GET or HEAD here, and the command line for the "
                "rest.",
                Allow="GET, HEAD",
            )
        return await page(request)
