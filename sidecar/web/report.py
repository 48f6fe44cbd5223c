"""`/config-report`: what is right and wrong with the configuration, without its secrets."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sidecar.web.header import JSON, RETRY_AFTER_SECONDS, respond
from sidecar.web.problem import problem

TakeReport = Callable[[], Mapping[str, Any] | None]


class ReportPage:
    """Shows the report that boot made."""

    def __init__(self, take_report: TakeReport) -> None:
        self._take_report = take_report

    async def respond(self, _request: web.BaseRequest) -> web.Response:
        """Answer 503 until there is a report."""
        report = self._take_report()
        if report is None:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The configuration is still being examined; ask again shortly.",
                Retry_After=str(RETRY_AFTER_SECONDS),
            )
        return respond(msgspec.json.encode(report), JSON)
