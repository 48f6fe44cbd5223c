"""Findings for code hosts: GitHub's workflow commands, and SARIF 2.1.0."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sidecar.config.severity import Severity
from sidecar.config.variable import OPTION, PROCESS
from sidecar.lint.deployment import Origin
from sidecar.lint.finding import Finding, Rule
from sidecar.lint.rules import RULES

Origins = Mapping[str | None, Origin]
"""Where each workload starts, for what is missing in it; by `None` for the rest."""

NO_FILE: Final = "sidecar.toml"
"""Where findings are shown that no file is to blame for; hosts take none without a place."""

_COMMANDS = {
    Severity.INFO: "notice",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
    Severity.REFUSE: "error",
}
_LEVELS = _COMMANDS | {Severity.INFO: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_NO_FILES = frozenset({None, PROCESS, OPTION})


def github_lines(findings: Sequence[Finding], origins: Origins) -> Iterator[str]:
    """Yield a workflow command for each finding that counts; hosts show it beside the line."""
    for finding in findings:
        if not finding.is_active:
            continue
        of = "" if finding.workload is None else f" ({finding.workload})"
        properties = {"title": f"{finding.id} {finding.field}{of}"}
        source, line = _place(finding, origins) or (None, None)
        if source is not None:
            properties = {"file": source, **({"line": str(line)} if line else {}), **properties}
        shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        yield f"::{_COMMANDS[finding.severity]} {shown}::{_data(_said(finding))}"


def sarif(findings: Sequence[Finding], version: str, origins: Origins) -> dict[str, Any]:
    """Return the findings as one SARIF run; silenced ones are in it as suppressed.

    `version` is that of this program.
    """
    ids = sorted({finding.id for finding in findings})
    rules = [_descriptor(each) for each in ids]
    driver = {"name": "event-sidecar", "version": version, "rules": rules}
    results = [_result(finding, ids.index(finding.id), origins) for finding in findings]
    run = {"tool": {"driver": driver}, "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _descriptor(rule_id: str) -> dict[str, Any]:
    """Describe a rule; one of the project's own is known by its id only."""
    rule: Rule | None = next((each for each in RULES if each.id == rule_id), None)
    detects = rule_id if rule is None else rule.detects
    refs = "" if rule is None or not rule.refs else f" ({', '.join(rule.refs)})"
    sentence = f"{detects[:1].upper()}{detects[1:]}{refs}."
    return {
        "id": rule_id,
        "shortDescription": {"text": detects},
        "fullDescription": {"text": sentence},
        "help": {"text": f"{sentence} Each finding says what to do; sidecar check shows them all."},
    }


def _result(finding: Finding, index: int, origins: Origins) -> dict[str, Any]:
    source, line = _place(finding, origins) or (NO_FILE, None)
    uri = _uri(source)
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line or 1}}
    }
    properties = {"severity": finding.severity.value, "field": finding.field}
    if finding.workload is not None:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.workload}]
        properties["workload"] = finding.workload
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": _said(finding)},
        "locations": [location],
        "partialFingerprints": {"finding/v1": _fingerprint(finding, uri)},
        "properties": properties,
    }
    if finding.silenced_by is not None:
        result["suppressions"] = [{"kind": "external", "justification": finding.silenced_by}]
    return result


def _place(finding: Finding, origins: Origins) -> Origin | None:
    """Return where a finding is shown: at the value, or where the workload that lacks it starts."""
    if finding.source not in _NO_FILES:
        return finding.source or "", finding.line
    return origins.get(finding.workload) or origins.get(None)


def _said(finding: Finding) -> str:
    of = "" if finding.workload is None else f"{finding.workload}: "
    return f"{of}{finding.message} {finding.hint}"


def _uri(source: str) -> str:
    """Return a path as an address, relative to the working directory where it lies below it."""
    path, directory = Path(source), Path.cwd()
    shown = str(path.relative_to(directory)) if path.is_relative_to(directory) else source
    scheme = "file://" if Path(shown).is_absolute() else ""
    # A colon in a path would end the scheme of an address.
    return scheme + quote(shown, "/", errors="surrogateescape")


def _fingerprint(finding: Finding, uri: str) -> str:
    """Return what identifies a finding after lines have moved; nothing of a value is in it."""
    parts = (finding.id, finding.field, finding.workload or "", uri)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
