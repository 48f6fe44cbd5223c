"""`/metrics`: open to all, because it holds numbers and names of ours only."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from sidecar.web.answer import Handler, respond

Collect = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Takes the `Accept` header, returns a body and its content type."""


def metrics_page(collect: Collect) -> Handler:
    """Answer in the format that the scraper's `Accept` prefers."""

    async def answer(request: web.BaseRequest) -> web.Response:
        body, content_type = await collect(request.headers.get(hdrs.ACCEPT, ""))
        return respond(body, content_type, Vary=hdrs.ACCEPT)

    return answer
