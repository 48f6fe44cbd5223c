"""Findings as plain text, for the log at boot and for `sidecar check`."""

from collections.abc import Iterator, Sequence

from sidecar.lint.config_report import Status, status_of
from sidecar.lint.finding import Finding
from sidecar.lint.result import LintResult

_SUMMARIES = {
    Status.OK: "The configuration is fit to run.",
    Status.WARNINGS: "The configuration is fit to run, with warnings.",
    Status.INVALID: "The configuration has errors; it starts here, production would refuse it.",
    Status.REFUSED: "The configuration is refused.",
}


_HEADINGS = {
    "SEC": "Secrets",
    "DB": "Database",
    "APP": "Application",
    "OPS": "Operation",
    "ENV": "Environment",
}
_CUSTOM = "Rules of one's own"
_SILENCED = "Silenced"


def workloads(findings: Sequence[Finding]) -> Iterator[tuple[str | None, tuple[Finding, ...]]]:
    """Yield the findings of each workload, in the order given."""
    for workload in dict.fromkeys(each.workload for each in findings):
        yield workload, tuple(each for each in findings if each.workload == workload)


def groups(findings: Sequence[Finding]) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Yield the findings under headings by subject, in the order given; silenced ones last."""
    headings = dict.fromkeys((*_HEADINGS.values(), _CUSTOM, _SILENCED))
    for heading in headings:
        members = tuple(each for each in findings if _heading(each) == heading)
        if members:
            yield heading, members


def line(finding: Finding) -> str:
    """Return a finding in one line, without its hint."""
    silenced = "" if finding.is_active else f" (silenced: {finding.silenced_by})"
    return f"{finding.severity.upper():7} {finding.id} {finding.field}: {finding.message}{silenced}"


def summary(result: LintResult) -> str:
    """Sum up what was found in one line, with the number of findings that count."""
    active = sum(each.is_active for each in result.findings)
    count = len(result.verdicts)
    more = f"{_count(count, 'workload')}, " if count > 1 else ""
    said = _SUMMARIES[status_of(result.findings)]
    return f"{said} {_count(active, 'finding')}, {more}{result.environments()}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _heading(finding: Finding) -> str:
    if not finding.is_active:
        return _SILENCED
    return _HEADINGS.get(finding.id.rstrip("0123456789"), _CUSTOM)
