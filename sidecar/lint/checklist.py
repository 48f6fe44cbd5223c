"""The checklist to go through before a production deployment, ticked from findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from sidecar.config.environment import Environment
from sidecar.config.project_rules import AI_KEYS, ProjectRules
from sidecar.lint.finding import Violation


class ItemState(StrEnum):
    """Whether a line is done."""

    TICKED = "ticked"
    OPEN = "open"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the checklist and what would keep it open.

    Attributes:
        fields: Names of the variables that it is about, parted by blanks.
        rules: Ids of the rules that must not be broken by them; empty: no rule can find out.
    """

    id: str
    group: str
    text: str
    fields: str = ""
    rules: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A line, judged.

    Attributes:
        findings: Ids of the rules that keep it open.
    """

    id: str
    group: str
    text: str
    state: ItemState
    findings: tuple[str, ...] = ()


LINES = (
    Line(
        "database",
        "Secrets",
        "DATABASE_URL set to the production database",
        "DATABASE_URL",
        "DB01 DB02 DB04 DB13 DB16 ENV03 SEC02 SEC03 SEC04",
    ),
    Line(
        "ai_key",
        "Secrets",
        "At least one AI provider key configured",
        " ".join(AI_KEYS),
        "ENV03 SEC02 SEC03 SEC04 SEC11 SEC13",
    ),
    Line(
        "secret_key",
        "Secrets",
        "SECRET_KEY generated, with `sidecar secret` or `openssl rand -hex 32`",
        "SECRET_KEY",
        "ENV03 SEC01 SEC02 SEC03 SEC04 SEC05 SEC07 SEC08 SEC09",
    ),
    Line("environment", "Secrets", "ENVIRONMENT=production set", "ENVIRONMENT", "ENV01"),
    Line(
        "cors",
        "Security",
        "CORS_ORIGINS set to actual frontend domains, not *",
        "CORS_ORIGINS",
        "APP03 APP04 ENV04",
    ),
    Line("debug", "Security", "DEBUG=false", "DEBUG", "APP01 ENV04"),
    Line(
        "docs", "Security", "ENABLE_DOCS=false, or access restricted", "ENABLE_DOCS", "APP02 ENV04"
    ),
    Line(
        "pool",
        "Database",
        "DB_POOL_MIN_SIZE and DB_POOL_MAX_SIZE tuned for the expected load",
        "DB_POOL_MIN_SIZE DB_POOL_MAX_SIZE",
        "DB07 DB08 DB09 DB15",
    ),
    Line(
        "tls",
        "Database",
        "Database connection uses SSL (?sslmode=require)",
        "DATABASE_URL",
        "DB01 DB05 SEC02",
    ),
    Line("logs", "Monitoring", "Log aggregation catches CRITICAL projection failures"),
    Line("alerts", "Monitoring", "Alerts configured for projection failures"),
    Line("pool_metrics", "Monitoring", "Database pool metrics monitored"),
)


def go_through(
    violations: Sequence[Violation], environment: Environment, project: ProjectRules, on: date
) -> tuple[Item, ...]:
    """Tick every line as for production, also in development, from what the rules found.

    A rule that is silenced on that day keeps no line open. What no variable can show is not
    applicable.
    """
    counted = [each for each in violations if project.reason(each.rule.id, each.field, on) is None]
    return tuple(_item(line, counted, environment, project) for line in LINES)


def _item(
    line: Line, violations: Sequence[Violation], environment: Environment, project: ProjectRules
) -> Item:
    fields, rules = line.fields.split(), line.rules.split()
    broken = {each.rule.id for each in violations if each.field in fields} & {*rules}
    state = ItemState.OPEN if broken else ItemState.TICKED
    if not rules or (line.id == "ai_key" and project.grouped().isdisjoint(fields)):
        state = ItemState.NOT_APPLICABLE
    elif line.id == "environment" and environment is not Environment.PRODUCTION:
        state = ItemState.OPEN
    return Item(line.id, line.group, line.text, state, tuple(sorted(broken)))
