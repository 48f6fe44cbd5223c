"""The judgement of an environment: settings, findings, and whether to start."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from sidecar.config import example, sidecar_file
from sidecar.config.checklist import Item, go_through
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.facts import Facts
from sidecar.config.finding import Finding, Severity, Sighting, weigh_all
from sidecar.config.report import Report, shown_settings, status_of
from sidecar.config.rules import LOOKS
from sidecar.config.settings import Settings, load_sightings
from sidecar.config.sidecar_file import SidecarFile


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, most severe first; `/config-report` and `sidecar check` tell the same."""

    settings: Settings
    findings: tuple[Finding, ...]
    checklist: tuple[Item, ...]
    environ: Environ = field(repr=False)

    @property
    def refused(self) -> bool:
        """Whether the start is refused: exit with 78, or hold, as SIDECAR_ON_INVALID says."""
        return any(each.is_active and each.severity is Severity.REFUSE for each in self.findings)

    def report(self, now: datetime) -> Report:
        """Make the report; `now` is aware UTC."""
        return Report(
            status=status_of(self.findings),
            environment=self.settings.environment,
            generated_at=now,
            findings=self.findings,
            settings=shown_settings(self.settings, self.environ),
            checklist=self.checklist,
        )


def validate(environ: Environ, *, now: datetime, repository: Path | None = None) -> Verdict:
    """Judge an environment by every rule; never raises for what is in it.

    Args:
        environ: The snapshot to judge.
        now: Aware UTC.
        repository: Where `sidecar.toml`, `pyproject.toml` and `.env.example` are looked for;
            `None` judges by the default rules alone.
    """
    settings, misfits = load_sightings(environ)
    own, mistakes = sidecar_file.read(repository)
    facts = Facts(
        environ=environ, settings=settings, own=own, now=now, examples=example.read(repository)
    )
    seen = (*misfits, *mistakes, *look(facts))
    found = (*environ.findings, *weigh_all(seen, settings.environment))
    return Verdict(
        settings=settings,
        findings=arrange(found, own, settings.environment),
        checklist=go_through(seen, environment=settings.environment, own=own),
        environ=environ,
    )


def look(facts: Facts) -> tuple[Sighting, ...]:
    """Ask every rule, in the order of the catalogue."""
    return tuple(sighting for each in LOOKS for sighting in each(facts))


def arrange(
    findings: Sequence[Finding], own: SidecarFile, environment: Environment
) -> tuple[Finding, ...]:
    """Apply the project's severities and silences, and put the most severe first."""
    adapted = (_adapt(finding, own, environment) for finding in findings)
    return tuple(
        sorted(
            adapted, key=lambda each: (not each.is_active, -each.severity.rank, each.id, each.field)
        )
    )


def _adapt(finding: Finding, own: SidecarFile, environment: Environment) -> Finding:
    severity = own.severity.get(finding.id, finding.severity).in_environment(environment)
    weighed = replace(finding, severity=severity)
    return weighed.silence(own.silenced[finding.id]) if own.silences(finding.id) else weighed
