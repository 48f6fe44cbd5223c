"""`/api/status` and `/`: one snapshot, as JSON and as the page made from it."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from sidecar.web.header import HTML, JSON, respond
from sidecar.web.status_page import STYLE, render

TakeSnapshot = Callable[[], Mapping[str, Any]]

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class StatusPage:
    """Shows what the snapshot says; taking it must not wait for anything."""

    def __init__(self, take_snapshot: TakeSnapshot) -> None:
        self._take_snapshot = take_snapshot

    async def respond_json(self, _request: web.BaseRequest) -> web.Response:
        """Answer for machines; a value that is not a finite number becomes null."""
        return respond(msgspec.json.encode(self._take_snapshot()), JSON)

    async def respond_html(self, _request: web.BaseRequest) -> web.Response:
        """Answer for people; the page loads nothing else, and runs no script."""
        return respond(
            render(self._take_snapshot()).encode(),
            HTML,
            Content_Security_Policy=POLICY,
            Referrer_Policy="no-referrer",
        )
