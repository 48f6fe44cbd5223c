"""The verdicts on every workload of a deployment, told as one."""

from dataclasses import dataclass
from typing import TypedDict

from sidecar.config.environment import Environment
from sidecar.config.severity import Severity
from sidecar.lint.annotation import NO_FILE, Origin
from sidecar.lint.checklist import ItemFields
from sidecar.lint.config_report import Report, ReportFields, SettingFields, status_of
from sidecar.lint.finding import Finding, FindingFields
from sidecar.lint.linter import Verdict


class WorkloadFields(TypedDict):
    """A workload as JSON; its findings are among those of all."""

    workload: str | None
    status: str
    environment: str
    settings: dict[str, SettingFields]
    checklist: list[ItemFields]


class LintResultFields(TypedDict):
    """Several workloads as JSON."""

    status: str
    generated_at: str
    findings: list[FindingFields]
    workloads: list[WorkloadFields]


@dataclass(frozen=True, slots=True)
class LintResult:
    """What `sidecar check` found.

    Attributes:
        verdicts: One for each workload; the process itself is one, too.
        unread: Why a part of the input could not be judged, for a person.
    """

    verdicts: tuple[Verdict, ...]
    unread: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Give what was found of all workloads; a mistake in the rules is told once."""
        return tuple(dict.fromkeys(each for one in self.verdicts for each in one.findings))

    def has(self, severity: Severity) -> bool:
        """Tell whether a finding that counts is at least so severe."""
        return any(each.has(severity) for each in self.verdicts)

    def has_active(self, rule: str) -> bool:
        """Tell whether a rule has found something that is not silenced."""
        return any(each.is_active and each.id == rule for each in self.findings)

    @property
    def origins(self) -> dict[str | None, Origin]:
        """Give the file and line that start each workload, for what is missing in it."""
        found = {each.workload.name: each.workload.origin for each in self.verdicts}
        known = {workload: origin for workload, origin in found.items() if origin is not None}
        first = next(iter(known.values()), (self.verdicts[0].project.file or NO_FILE, None))
        return {None: first} | known

    def environments(self) -> str:
        """Give the kinds of environment that the workloads were judged for."""
        found = {verdict.settings.environment for verdict in self.verdicts}
        return ", ".join(each for each in Environment if each in found)

    def as_dict(self) -> ReportFields | LintResultFields:
        """Give the report of one workload, or of several their findings and what each is told."""
        reports = [verdict.report(verdict.now) for verdict in self.verdicts]
        if len(reports) == 1:
            return reports[0].as_dict()
        return {
            "status": status_of(self.findings).value,
            "generated_at": reports[0].as_dict()["generated_at"],
            "findings": [each.as_dict() for each in self.findings],
            "workloads": [
                _fields(verdict.workload.name, report)
                for verdict, report in zip(self.verdicts, reports, strict=True)
            ],
        }


def _fields(workload: str | None, report: Report) -> WorkloadFields:
    told = report.as_dict()
    return {
        "workload": workload,
        "status": told["status"],
        "environment": told["environment"],
        "settings": told["settings"],
        "checklist": told["checklist"],
    }
