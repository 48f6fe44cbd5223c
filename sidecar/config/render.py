"""Findings as plain text, for the log at boot and for `sidecar check`."""

from collections.abc import Iterator, Sequence

from sidecar.config.finding import Finding
from sidecar.config.report import Report, Status

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
_OWN = "Rules of one's own"
_SILENCED = "Silenced"


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Give two lines for each finding: severity, id, field and message; then the hint."""
    for finding in findings:
        yield line(finding)
        yield f"        {finding.hint}"


def groups(findings: Sequence[Finding]) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Give the findings under headings by subject, each in the order given; silenced ones last."""
    headings = dict.fromkeys((*_HEADINGS.values(), _OWN, _SILENCED))
    for heading in headings:
        members = tuple(each for each in findings if _heading(each) == heading)
        if members:
            yield heading, members


def line(finding: Finding) -> str:
    """Give a finding in one line, without its hint."""
    silenced = "" if finding.is_active else f" (silenced: {finding.silenced_by})"
    return f"{finding.severity.upper():7} {finding.id} {finding.field}: {finding.message}{silenced}"


def summary(report: Report) -> str:
    """Sum a report up in one line, with the number of findings that count."""
    active = sum(finding.is_active for finding in report.findings)
    noun = "finding" if active == 1 else "findings"
    return f"{_SUMMARIES[report.status]} {active} {noun}, {report.environment}."


def _heading(finding: Finding) -> str:
    if not finding.is_active:
        return _SILENCED
    return _HEADINGS.get(finding.id.rstrip("0123456789"), _OWN)
