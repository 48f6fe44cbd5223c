"""`/config-report`: the findings about the configuration, without secrets."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sidecar.web.auth import Guard, Handler
from sidecar.web.header import JSON, RETRY_AFTER_SECONDS, respond
from sidecar.web.problem import problem

TakeReport = Callable[[], Mapping[str, Any] | None]


def report_page(take_report: TakeReport, guard: Guard) -> Handler:
    """Answer with the report: whole to admitted callers, its status word to all others."""

    async def answer(request: web.BaseRequest) -> web.Response:
        report = take_report()
        if report is None:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The configuration is still being examined; ask again shortly.",
                Retry_After=str(RETRY_AFTER_SECONDS),
            )
        shown = report if guard.admits(request) else {"status": report["status"]}
        return respond(msgspec.json.encode(shown), JSON)

    return answer
