"""Findings for code hosts: GitHub's workflow commands, and SARIF 2.1.0."""

from collections.abc import Iterator, Sequence
from typing import Any

from sidecar.config.finding import Finding, Severity
from sidecar.config.rules import RULES
from sidecar.config.variable import PROCESS

_COMMANDS = {
    Severity.INFO: "notice",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
    Severity.REFUSE: "error",
}
_LEVELS = _COMMANDS | {Severity.INFO: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_NO_FILE = frozenset({None, PROCESS, "command line"})


def github_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Give a workflow command for each finding that counts; hosts show it beside the line."""
    for finding in findings:
        if not finding.is_active:
            continue
        properties = {"title": f"{finding.id} {finding.field}"}
        if finding.source not in _NO_FILE:
            properties = {
                "file": finding.source or "",
                **({"line": str(finding.line)} if finding.line else {}),
                **properties,
            }
        shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        text = _data(f"{finding.message} {finding.hint}")
        yield f"::{_COMMANDS[finding.severity]} {shown}::{text}"


def sarif(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """Give the findings as one SARIF run; silenced ones are in it as suppressed."""
    known = {rule.id: rule.detects for rule in RULES}
    ids = sorted({finding.id for finding in findings})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "event-sidecar",
                        "version": version,
                        "rules": [
                            {"id": each, "shortDescription": {"text": known.get(each, each)}}
                            for each in ids
                        ],
                    }
                },
                "results": [_result(finding, ids.index(finding.id)) for finding in findings],
            }
        ],
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} {finding.hint}"},
        "properties": {"severity": finding.severity.value, "field": finding.field},
    }
    if finding.source not in _NO_FILE:
        location: dict[str, Any] = {"artifactLocation": {"uri": finding.source}}
        if finding.line is not None:
            location["region"] = {"startLine": finding.line}
        result["locations"] = [{"physicalLocation": location}]
    if finding.silenced_by is not None:
        result["suppressions"] = [{"kind": "external", "justification": finding.silenced_by}]
    return result


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
