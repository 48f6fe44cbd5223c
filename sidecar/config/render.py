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


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Give two lines for each finding: severity, id, field and message; then the hint."""
    for finding in findings:
        yield line(finding)
        yield f"        {finding.hint}"


def line(finding: Finding) -> str:
    """Give a finding in one line, without its hint."""
    silenced = "" if finding.is_active else f" (silenced: {finding.silenced_by})"
    return f"{finding.severity.upper():7} {finding.id} {finding.field}: {finding.message}{silenced}"


def summary(report: Report) -> str:
    """Sum a report up in one line, with the number of findings that count."""
    active = sum(finding.is_active for finding in report.findings)
    noun = "finding" if active == 1 else "findings"
    return f"{_SUMMARIES[report.status]} {active} {noun}, {report.environment}."
