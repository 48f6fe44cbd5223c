"""The verdict on an environment: settings, findings, and whether to start."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path

from sidecar.config import sidecar_file
from sidecar.config.environ import Environ
from sidecar.config.project_rules import NEVER_SILENCED, ProjectRules
from sidecar.config.settings import Settings, load
from sidecar.config.severity import Severity
from sidecar.lint import custom_rule, example
from sidecar.lint.change import Change
from sidecar.lint.checklist import Item, go_through
from sidecar.lint.config_report import Report, shown_settings, status_of
from sidecar.lint.custom_rule import CustomRule
from sidecar.lint.deployment import Workload
from sidecar.lint.fault_rules import ENV07, violations_of
from sidecar.lint.finding import Finding, Violation, Violations, weigh_all
from sidecar.lint.rule_context import RuleContext
from sidecar.lint.rules import CHECKS, DSN_CHECKS
from sidecar.lint.rules.address import real_address


@dataclass(frozen=True)  # without slots, which leave no room for what is cached
class Verdict:
    """What was found in a workload; `/config-report` and `sidecar check` show the same.

    Attributes:
        project: What the project adapts, by which later violations are weighed too.
        violations: What the rules found, before it is weighed.
        now: When the rules were asked, aware UTC; silences end by it.
    """

    settings: Settings
    workload: Workload = field(repr=False)
    project: ProjectRules = field(repr=False)
    violations: tuple[Violation, ...] = field(repr=False)
    now: datetime = field(repr=False)

    @property
    def environ(self) -> Environ:
        """The environment that the rules were asked about."""
        return self.workload.environ

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The violations as the environment and the project weigh them, most severe first."""
        weighed = weigh_all(self.violations, self.settings.environment)
        of_workload = (_named(each, self.workload.name) for each in weighed)
        adapted = [self._adapted(each) for each in (*self.workload.findings, *of_workload)]
        adapted.sort(key=lambda one: (not one.is_active, -one.severity.rank, one.id, one.field))
        return tuple(adapted)

    @cached_property
    def checklist(self) -> tuple[Item, ...]:
        """The lines to go through before a production deployment."""
        environment, on = self.settings.environment, self.now.date()
        return go_through(self.violations, environment, self.project, on)

    @property
    def refused(self) -> bool:
        """Whether the start is refused: exit with 78, or hold, as SIDECAR_ON_INVALID says."""
        return self.has(Severity.REFUSE)

    def has(self, severity: Severity) -> bool:
        """Return True when a finding that counts is at least so severe."""
        active = (each.severity for each in self.findings if each.is_active)
        return any(each.rank >= severity.rank for each in active)

    def extended(self, more: Iterable[Violation]) -> "Verdict":
        """Return the same with what was found later, such as by asking the server.

        What a rule has said of a variable already is not said twice.
        """
        said = [each for each in self.violations if each.field in self.environ]
        known = {(each.rule.id, each.field) for each in said}
        news = [each for each in more if (each.rule.id, each.field) not in known]
        fresh = (each for each in news if each not in self.violations)
        return replace(self, violations=(*self.violations, *fresh))

    def report(self, now: datetime, changed: Sequence[Change] = ()) -> Report:
        """Make the report; `now` is aware UTC, `changed` what is different since the start."""
        return Report(
            status=status_of(self.findings),
            environment=self.settings.environment,
            generated_at=now,
            findings=self.findings,
            settings=shown_settings(self.settings, self.environ),
            checklist=self.checklist,
            changes=tuple(changed),
        )

    def _adapted(self, finding: Finding) -> Finding:
        """Apply the project's severities and silences."""
        environment = self.settings.environment
        chosen = self.project.severity_in(finding.id, environment)
        if chosen is not None and finding.id not in NEVER_SILENCED:
            finding = replace(finding, severity=chosen.in_environment(environment))
        reason = self.project.reason(finding.id, finding.field, self.now.date())
        return replace(finding, silenced_by=reason)


def validate(environ: Environ, *, now: datetime, repository: Path | None = None) -> Verdict:
    """Judge an environment by every rule; never raises for what is in it.

    `now` is aware UTC. The `repository` is where `sidecar.toml`, `pyproject.toml`, example and
    compose files are looked for; `None` judges by the default rules alone.
    """
    return validate_all([Workload.of(environ)], now=now, repository=repository)[0]


def validate_all(
    workloads: Iterable[Workload],
    *,
    now: datetime,
    repository: Path | None = None,
    examples: Iterable[Path] = (),
    rules: Sequence[CustomRule] = (),
) -> tuple[Verdict, ...]:
    """Judge each workload by itself, as `validate` does; the repository is read once.

    `examples` are more files whose values are published.
    """
    project, mistakes = sidecar_file.read(repository, today=now.date())
    published = example.read(repository, examples)
    verdicts = []
    for workload in workloads:
        environ = workload.environ
        settings, misfits = load(environ)
        faults = violations_of((*misfits, *mistakes))
        seen = check(RuleContext(environ, settings, project, now, published))
        found = (*faults, *seen, *custom_rule.judge(rules, environ))
        verdicts.append(Verdict(settings, workload, project, found, now))
    return tuple(verdicts)


def check(context: RuleContext) -> Violations:
    """Ask every rule, in the order of the catalogue, and tell where each value came from.

    What is promised is not found missing.
    """
    dsn = real_address(context)
    found = [each(context) for each in CHECKS]
    found += [each(context, dsn) for each in DSN_CHECKS if dsn is not None]
    for violation in chain.from_iterable(found):
        if not context.environ.is_promised(violation.field):
            yield violation.at(context.environ.get(violation.field))


def _named(finding: Finding, workload: str | None) -> Finding:
    """Name the workload, but for a mistake in the rules themselves."""
    return finding if finding.id == ENV07.id else replace(finding, workload=workload)
