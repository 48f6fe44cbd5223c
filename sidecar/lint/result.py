"""The verdicts on every workload of a deployment, as one result."""

from dataclasses import dataclass
from typing import Any

from sidecar.config.environment import Environment
from sidecar.config.severity import Severity
from sidecar.lint.annotation import NO_FILE, Origins
from sidecar.lint.config_report import status_of
from sidecar.lint.finding import Finding
from sidecar.lint.linter import Verdict

_OF_WORKLOAD = ("status", "environment", "settings", "checklist")


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
        """Return what was found of all workloads; a mistake in the rules stands there once."""
        return tuple(dict.fromkeys(each for one in self.verdicts for each in one.findings))

    def has(self, severity: Severity) -> bool:
        """Return True when a finding that counts is at least so severe."""
        return any(each.has(severity) for each in self.verdicts)

    def has_active(self, rule: str) -> bool:
        """Return True when a rule has found something that is not silenced."""
        return any(each.is_active and each.id == rule for each in self.findings)

    @property
    def origins(self) -> Origins:
        """Return the file and line that start each workload, for what is missing in it."""
        found = {each.workload.name: each.workload.origin for each in self.verdicts}
        known = {workload: origin for workload, origin in found.items() if origin is not None}
        first = next(iter(known.values()), (self.verdicts[0].project.file or NO_FILE, None))
        return {None: first} | known

    def environments(self) -> str:
        """Return the kinds of environment that the workloads were judged for."""
        found = {verdict.settings.environment for verdict in self.verdicts}
        return ", ".join(each for each in Environment if each in found)

    def as_dict(self) -> dict[str, Any]:
        """Return the report of one workload, or the findings of several and each by itself."""
        reports = [verdict.report(verdict.now).as_dict() for verdict in self.verdicts]
        if len(reports) == 1:
            return reports[0]
        return {
            "status": status_of(self.findings).value,
            "generated_at": reports[0]["generated_at"],
            "findings": [each.as_dict() for each in self.findings],
            "workloads": [
                {"workload": verdict.workload.name} | {key: report[key] for key in _OF_WORKLOAD}
                for verdict, report in zip(self.verdicts, reports, strict=True)
            ],
        }
