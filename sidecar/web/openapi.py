"""`/openapi.json`: the routes as an OpenAPI 3.1 document."""

from typing import Any, Final

from sidecar.lint.config_report import Status
from sidecar.web.answer import JSON, PROBLEM_JSON
from sidecar.web.document import HEALTH_JSON
from sidecar.web.session import LOGIN_PATH

_TEXT: Final = {"type": "string"}
_STRINGS: Final = {"type": "array", "items": _TEXT}


def _object(*required: str, **properties: object) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


_PROBLEM: Final = _object(
    "title", "status", "detail", title=_TEXT, status={"type": "integer"}, detail=_TEXT
)
_REPORT: Final = _object("status", status={"enum": [status.value for status in Status]})
_CHECK: Final = _object("componentType", "status", "outcome", "critical")
_HEALTH: Final = _object(
    "status",
    status={"enum": ["pass", "warn", "fail"]},
    version=_TEXT,
    serviceId=_TEXT,
    phase={"enum": ["starting", "running", "draining", "held"]},
    reasons=_STRINGS,
    notes=_STRINGS,
    checks={"type": "object", "additionalProperties": {"type": "array", "items": _CHECK}},
)


def _query(name: str, description: str, **more: object) -> dict[str, Any]:
    # Any text is accepted: a name that no check has is noted in the answer, not refused.
    return {"name": name, "in": "query", "description": description, "schema": {}} | more


_VERBOSE: Final = _query("verbose", "Answer in plain text, one line a check.", allowEmptyValue=True)
_SELECTION: Final = [
    _query("check", "Judge this check alone; may be repeated."),
    _query("group", "Judge the checks of this group alone; may be repeated."),
    _query("exclude", "Leave this check out; unknown names are noted in the answer."),
    _VERBOSE,
]
_PROBES: Final[dict[tuple[str, str], tuple[str, list[dict[str, Any]]]]] = {
    ("/health", "/livez"): ("Would a restart help?", _SELECTION),
    ("/ready", "/readyz"): ("May traffic come?", _SELECTION),
    ("/startup", "/startupz"): ("Has boot finished?", [_VERBOSE]),
}


def openapi_document(version: str) -> dict[str, Any]:
    """Describe every route."""
    probes = {path: _probe(*about) for paths, about in _PROBES.items() for path in paths}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Event sidecar", "version": version},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            }
        },
        "paths": probes | _other_paths(),
    }


def _other_paths() -> dict[str, Any]:
    return {
        "/metrics": _operations(
            "Metrics in Prometheus or OpenMetrics format",
            {"200": {"description": "Every series; the format follows Accept"}},
        ),
        "/config-report": _operations(
            "Findings about the configuration; without the token the status word alone",
            {"200": _content("The report, or its status word", {JSON: _REPORT})},
        ),
        LOGIN_PATH: _login(),
        "/api/status": _guarded("Snapshot of checks, projections and workers", JSON),
        "/openapi.json": _guarded("This document", JSON),
        "/": _guarded("The status page", "text/html"),
        "/status.css": _guarded("How the status page looks", "text/css"),
        "/status.js": _guarded("How the status page follows the events", "text/javascript"),
        "/events": _guarded(
            "What changes on the status page, while a browser shows it",
            "text/event-stream",
            {"503": _content("Too many browsers watch", {PROBLEM_JSON: _PROBLEM})},
        ),
    }


def _probe(summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    bodies = {HEALTH_JSON: _HEALTH, "text/plain": _TEXT}
    responses = {
        "200": _content("Yes, or yes with a warning", bodies),
        "404": _content("The probe has no check or group of that name", {PROBLEM_JSON: _PROBLEM}),
        "503": _content("No", bodies),
    }
    return _operations(summary, responses, parameters=parameters)


def _guarded(summary: str, content_type: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = {"type": "object"} if content_type == JSON else _TEXT
    responses = {
        "200": _content(summary, {content_type: schema}),
        "401": _content("The token is missing or wrong", {PROBLEM_JSON: _PROBLEM}),
        "403": _content("There is no token, so nobody is let in", {PROBLEM_JSON: _PROBLEM}),
    }
    return _operations(
        summary, responses | (more or {}), security=[{"token": []}, {"password": []}]
    )


def _login() -> dict[str, Any]:
    ticket = _query(
        "ticket",
        "From `sidecar token --link`; good for ten minutes.",
        required=True,
        schema=_TEXT,
    )
    responses = {
        "303": {"description": "A cookie that opens the rest, and on to the status page"},
        "403": _content("There is no token, so nobody is let in", {PROBLEM_JSON: _PROBLEM}),
        "410": _content("The ticket has ended, or never was one", {PROBLEM_JSON: _PROBLEM}),
    }
    return _operations("Let a browser in by a link", responses, parameters=[ticket])


def _operations(summary: str, responses: dict[str, Any], **more: object) -> dict[str, Any]:
    bodiless = {code: {"description": answer["description"]} for code, answer in responses.items()}
    return {
        "get": {"summary": summary, "responses": responses, **more},
        "head": {"summary": summary, "responses": bodiless, **more},
    }


def _content(description: str, schemas: dict[str, Any]) -> dict[str, Any]:
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"description": description, "content": content}
