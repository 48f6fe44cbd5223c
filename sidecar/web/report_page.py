"""`/config-report`: what is right and wrong with the configuration, without its secrets."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sidecar.web.auth import Guard
from sidecar.web.header import JSON, RETRY_AFTER_SECONDS, respond
from sidecar.web.problem import problem

TakeReport = Callable[[], Mapping[str, Any] | None]


class ReportPage:
    """Shows the report that boot made: whole to whoever the guard admits, in a word to all."""

    def __init__(self, take_report: TakeReport, guard: Guard) -> None:
        self._take_report = take_report
        self._guard = guard

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """Answer 503 until there is a report."""
        report = self._take_report()
        if report is None:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The configuration is still being examined; ask again shortly.",
                Retry_After=str(RETRY_AFTER_SECONDS),
            )
        shown = report if self._guard.admits(request) else {"status": report["status"]}
        return respond(msgspec.json.encode(shown), JSON)
