"""`/metrics`: open to all, because it holds numbers and names of ours only."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from sidecar.web.header import respond

Collect = Callable[[str], Awaitable[tuple[bytes, str]]]


class MetricsPage:
    """Hands the scraper's `Accept` to whoever collects."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """Answer in the format that the scraper prefers."""
        body, content_type = await self._collect(request.headers.get(hdrs.ACCEPT, ""))
        return respond(body, content_type, Vary=hdrs.ACCEPT)
