"""`/api/status` and `/`: one snapshot, as JSON, as a page, and as the changes of that page."""

from http import HTTPStatus
from importlib.resources import files
from typing import Final

from aiohttp import web

from sidecar.web.answer import HTML, Handler, fixed, problem, respond, respond_json
from sidecar.web.status_page import render
from sidecar.web.stream import Stream, TakeSnapshot

CSS: Final = "text/css; charset=utf-8"
EVENTS: Final = "text/event-stream"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class StatusPage:
    """Shows the snapshot; taking it must not wait for anything."""

    def __init__(self, take_snapshot: TakeSnapshot) -> None:
        self._take_snapshot = take_snapshot
        self._stream = Stream(take_snapshot)

    async def respond_json(self, _request: web.BaseRequest) -> web.Response:
        """Answer for machines."""
        return respond_json(self._take_snapshot())

    async def respond_html(self, _request: web.BaseRequest) -> web.Response:
        """Answer for people; the page loads nothing but its own two files."""
        return respond(
            render(self._take_snapshot()).encode(),
            HTML,
            Content_Security_Policy=POLICY,
            Referrer_Policy="no-referrer",
        )

    async def respond_events(self, _request: web.BaseRequest) -> web.Response:
        """Answer with server-sent events, until the client leaves or the process drains."""
        if self._stream.is_full:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many browsers watch the status page. Close some, or read /api/status.",
            )
        response = respond(b"", EVENTS)
        response.body = self._stream.watch()
        return response


def static_file(name: str, content_type: str) -> Handler:
    """Answer with a file that comes with this package, read once."""
    return fixed(files("sidecar.web").joinpath("static", name).read_bytes(), content_type)
