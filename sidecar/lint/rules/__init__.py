"""The catalogue: every rule, and every check that finds where it is broken."""

from sidecar.lint import change, fault_rules
from sidecar.lint.finding import Rule
from sidecar.lint.rule_context import Checks, DsnChecks
from sidecar.lint.rules import (
    address,
    database_host,
    driver,
    live_server,
    operation,
    pool_size,
    quality,
    requirement,
    secrets,
    telemetry,
    variables,
    web,
)

_MODULES = (
    fault_rules,
    change,
    variables,
    secrets,
    quality,
    address,
    database_host,
    driver,
    pool_size,
    web,
    operation,
    telemetry,
    requirement,
    live_server,
)
CHECKS: Checks = tuple(check for one in _MODULES for check in getattr(one, "CHECKS", ()))
DSN_CHECKS: DsnChecks = tuple(check for one in _MODULES for check in getattr(one, "DSN_CHECKS", ()))
_FOUND = {each for one in _MODULES for each in vars(one).values() if isinstance(each, Rule)}
RULES: tuple[Rule, ...] = tuple(sorted(_FOUND, key=lambda rule: rule.id))
"""Every rule that one of these modules names."""
