"""`/config-report`: the findings about the configuration, without secrets."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from sidecar.web.answer import Handler, respond_json
from sidecar.web.auth import Guard

TakeReport = Callable[[], Mapping[str, Any]]


def report_page(take_report: TakeReport, guard: Guard) -> Handler:
    """Answer with the report: whole to admitted callers, its status word to all others."""

    async def answer(request: web.BaseRequest) -> web.Response:
        report = take_report()
        return respond_json(report if guard.admits(request) else {"status": report["status"]})

    return answer
