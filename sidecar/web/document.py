"""The bodies that probes answer with: health+json (draft-inadarei-api-health-check-06) and text."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import Outcome
from sidecar.health.probe_answers import Answer

HEALTH_JSON: Final = "application/health+json"


def status_word(answer: Answer) -> bytes:
    """Render the body for every caller."""
    return msgspec.json.encode({"status": answer.verdict.outcome.value})


def full_document(answer: Answer, *, service: str, version: str) -> bytes:
    """Render the body for admitted callers."""
    verdict = answer.verdict
    document: dict[str, Any] = {
        "status": verdict.outcome.value,
        "version": version,
        "serviceId": service,
        "phase": answer.phase.value,
        "reasons": verdict.reasons,
        "notes": _notes(answer),
        "checks": {
            f"{status.name}:{status.check.measurement}": [_check(status)]
            for status in answer.statuses
        },
    }
    return msgspec.json.encode({key: value for key, value in document.items() if value != []})


def verbose_text(answer: Answer, title: str) -> bytes:
    """Render lines in the format of kube-apiserver's `/readyz?verbose`."""
    lines = [_line(status) for status in answer.statuses]
    lines += [f"warning: {note}" for note in _notes(answer)]
    lines += [f"reason: {reason}" for reason in answer.verdict.reasons]
    word = "passed" if answer.verdict.ok else "failed"
    return "\n".join([*lines, f"{title} check {word}", ""]).encode()


def _check(status: CheckStatus) -> Mapping[str, Any]:
    # The draft has no "unknown": its readers get a fail, and ours read `outcome`.
    shown = status.outcome if status.outcome is not Outcome.UNKNOWN else Outcome.FAIL
    entry = {
        "componentType": status.check.component_type.value,
        "status": shown.value,
        "outcome": status.outcome.value,
        "critical": status.check.critical,
        "groups": sorted(status.check.groups) or None,
        "observedValue": status.observed_value,
        "observedUnit": status.observed_unit,
        "time": status.measured_at,
        "ageSeconds": None if status.age_seconds is None else round(status.age_seconds, 3),
        "output": status.reason or None,
        "detail": status.detail or None,
        "cause": status.cause or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _line(status: CheckStatus) -> str:
    remark = "" if status.check.critical else " (not critical)"
    detail = f": {status.detail}" if status.detail else ""
    match status.outcome:
        case Outcome.PASS:
            return f"[+]{status.name} ok"
        case Outcome.WARN:
            return f"[+]{status.name} warning: {status.reason}{detail}"
        case Outcome.FAIL:
            return f"[-]{status.name} failed: {status.reason}{remark}{detail}"
        case Outcome.UNKNOWN:
            return f"[-]{status.name} unknown: {status.reason}{remark}{detail}"


def _notes(answer: Answer) -> list[str]:
    if not answer.unknown_names:
        return []
    return [f"no check is named {', '.join(answer.unknown_names)}"]
