"""What a rule reports: violations, and the findings that they are once they are weighed."""

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, fields, replace
from operator import attrgetter
from typing import Any, Self

from sidecar.config.environment import Environment
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable

INFO, WARNING, ERROR, REFUSE = Severity
_RANK = attrgetter("rank")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for, and how bad it is where.

    By default it warns in development and test, and refuses in staging and production.

    Attributes:
        id: Stable, such as `SEC01`; dashboards and silences refer to it.
        detects: One line for the table of rules.
        relaxed: Severity in development and test; `None` keeps the rule quiet there.
        strict: Severity in staging and production.
        refs: Where the advice comes from (OWASP ASVS, CWE, 12-factor).
    """

    id: str
    detects: str
    relaxed: Severity | None = Severity.WARNING
    strict: Severity = Severity.REFUSE
    refs: tuple[str, ...] = ()

    def severity(self, environment: Environment) -> Severity | None:
        """Return the severity in an environment; `None` says that it does not matter there."""
        return self.strict if environment.is_strict else self.relaxed


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that applies to one variable; not yet weighed by the environment.

    Attributes:
        message: What is wrong; never with the value.
        source: Where the value came from; `None` when there is none.
        line: Where in that file, counted from 1; `None` when that is not known.
        at_most: Caps the rule's severity for a milder case of the same subject.
    """

    rule: Rule
    field: str
    message: str
    hint: str
    source: str | None = None
    at_most: Severity = Severity.REFUSE
    line: int | None = None

    def at(self, variable: Variable | None) -> Self:
        """Return the same with where a variable came from; `None` for one that is not set."""
        if variable is None:
            return self
        return replace(self, source=variable.source, line=variable.line)


Violations = Iterator[Violation]
"""What a check yields."""


@dataclass(frozen=True, slots=True)
class Finding(Violation):
    """A violation as it was weighed, for a person to put right.

    Attributes:
        severity: Weighed for the environment, or chosen by the project.
        silenced_by: The reason given for silencing it; a silenced finding stops nothing.
        workload: The container or service that it is about, where there are several.
    """

    _: KW_ONLY
    severity: Severity
    silenced_by: str | None = None
    workload: str | None = None

    @property
    def id(self) -> str:
        """Return the rule's id."""
        return self.rule.id

    @property
    def place(self) -> str | None:
        """Return the source as people and editors write it: `prod.env:3`."""
        return self.source if self.line is None else f"{self.source}:{self.line}"

    @property
    def is_active(self) -> bool:
        """Whether the finding counts: it is not silenced."""
        return self.silenced_by is None

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as `/config-report` shows it: its place for source and line."""
        shown = {
            "id": self.id,
            "severity": self.severity.value,
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
            "source": self.place,
            "refs": self.rule.refs,
            "silenced_by": self.silenced_by,
        }
        return shown if self.workload is None else {**shown, "workload": self.workload}


def weigh_all(violations: Iterable[Violation], environment: Environment) -> tuple[Finding, ...]:
    """Weigh each violation, leaving out those that do not matter in this environment."""
    weighed = ((each, each.rule.severity(environment)) for each in violations)
    return tuple(
        Finding(
            **{one.name: getattr(each, one.name) for one in fields(Violation)},
            severity=min(severity, each.at_most, key=_RANK).in_environment(environment),
        )
        for each, severity in weighed
        if severity is not None
    )
