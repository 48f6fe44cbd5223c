"""The application: which path is answered by what."""

from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from sidecar.config.cors import CorsPolicy
from sidecar.health.board import Board
from sidecar.health.check import Probe
from sidecar.web.auth import Guard, Handler, Token
from sidecar.web.cors import grant, preflight
from sidecar.web.metrics import Collect, MetricsPage
from sidecar.web.openapi import openapi_page
from sidecar.web.probe import ProbePage
from sidecar.web.problem import method_not_allowed, not_found
from sidecar.web.report import ReportPage, TakeReport
from sidecar.web.status import StatusPage, TakeSnapshot

_PROBES: Final = {
    ("/health", "/livez"): Probe.LIVENESS,
    ("/ready", "/readyz"): Probe.READINESS,
    ("/startup", "/startupz"): None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the routes show, handed over by whoever builds the process.

    Attributes:
        board: Answers for the probes.
        collect_metrics: Takes the `Accept` header, returns a body and its content type.
        take_report: The configuration report as JSON-able data; `None` until boot has one.
        take_snapshot: What the status page shows; read from memory.
        service: The service's name.
        version: The version of the sidecar.
        token: Bearer token; `None` leaves the guarded routes to direct callers on loopback.
        cors: Which browser pages may read the answers; `None` grants nothing.
    """

    board: Board
    collect_metrics: Collect
    take_report: TakeReport
    take_snapshot: TakeSnapshot
    service: str
    version: str
    token: Token | None = None
    cors: CorsPolicy | None = None


def build(sources: Sources) -> web.Application:
    """Build the application; no middleware stands before a probe."""
    guard = Guard(sources.token)
    status = StatusPage(sources.take_snapshot)
    app = web.Application()
    routes = Routes(app, sources.cors)
    for paths, probe in _PROBES.items():
        page = ProbePage(
            sources.board,
            probe,
            title=paths[1].removeprefix("/"),
            guard=guard,
            service=sources.service,
            version=sources.version,
        )
        routes.add(page.respond, *paths)
    routes.add(MetricsPage(sources.collect_metrics).respond, "/metrics")
    routes.add(guard.protect(ReportPage(sources.take_report).respond), "/config-report")
    routes.add(guard.protect(status.respond_json), "/api/status")
    routes.add(guard.protect(openapi_page(sources.version)), "/openapi.json")
    routes.add(guard.protect(status.respond_html), "/")
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", not_found)
    return app


class Routes:
    """Adds read-only routes: GET and HEAD answer, OPTIONS asks about CORS, the rest is refused."""

    def __init__(self, app: web.Application, cors: CorsPolicy | None) -> None:
        self._router = app.router
        self._grant = grant(cors) if cors else _as_it_is
        self._other = preflight(cors, otherwise=method_not_allowed) if cors else method_not_allowed

    def add(self, handler: Handler, *paths: str) -> None:
        """Serve the same answer under every path."""
        for path in paths:
            resource = self._router.add_resource(path)
            resource.add_route(hdrs.METH_GET, self._grant(handler))
            resource.add_route(hdrs.METH_HEAD, self._grant(handler))
            resource.add_route(hdrs.METH_ANY, self._other)


def _as_it_is(handler: Handler) -> Handler:
    return handler
