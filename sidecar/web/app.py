"""Which path is answered by what."""

from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from sidecar.health.check import Probe
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.web.answer import JSON, fixed
from sidecar.web.auth import Guard, Token
from sidecar.web.document import full_document
from sidecar.web.metrics import Collect, metrics_page
from sidecar.web.openapi import openapi_document
from sidecar.web.probe import ProbePage
from sidecar.web.report_page import TakeReport, report_page
from sidecar.web.router import Router
from sidecar.web.session import LOGIN_PATH
from sidecar.web.status_handlers import CSS, JAVASCRIPT, StatusPage, static_file
from sidecar.web.stream import TakeSnapshot

_PROBES: Final = {
    ("/health", "/livez"): Probe.LIVENESS,
    ("/ready", "/readyz"): Probe.READINESS,
    ("/startup", "/startupz"): None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the routes show, given by the process that serves them, and read from memory.

    Attributes:
        version: The version of the sidecar.
        token: Opens the guarded routes; `None` leaves them closed.
    """

    answers: ProbeAnswers
    collect_metrics: Collect
    take_report: TakeReport
    take_snapshot: TakeSnapshot
    service: str
    version: str
    token: Token | None = None


def build(sources: Sources) -> Router:
    """Build what answers every request; no middleware stands before a probe."""
    guard = Guard(sources.token)
    status = StatusPage(sources.take_snapshot)
    router = Router()
    described = fixed(msgspec.json.encode(openapi_document(sources.version)), JSON)
    render = partial(full_document, service=sources.service, version=sources.version)
    for paths, probe in _PROBES.items():
        title = paths[1].removeprefix("/")
        page = ProbePage(sources.answers, probe, guard, title=title, render_full=render)
        router.add(page.respond, *paths)
    router.add(metrics_page(sources.collect_metrics), "/metrics")
    router.add(report_page(sources.take_report, guard), "/config-report")
    router.add(guard.respond_login, LOGIN_PATH)
    router.add(guard.protect(status.respond_json), "/api/status")
    router.add(guard.protect(described), "/openapi.json")
    router.add(guard.protect(status.respond_html), "/")
    router.add(guard.protect(status.respond_events), "/events")
    router.add(guard.protect(static_file("status.css", CSS)), "/status.css")
    router.add(guard.protect(static_file("status.js", JAVASCRIPT)), "/status.js")
    return router
