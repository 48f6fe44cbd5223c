"""The catalogue: every rule, and every check that finds where it is broken."""

from sidecar.lint import change, fault_rules
from sidecar.lint.finding import Rule
from sidecar.lint.rule_context import Check, DsnCheck
from sidecar.lint.rules import (
    address,
    database_host,
    driver,
    exposure,
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

CHECKS: tuple[Check, ...] = (
    *variables.CHECKS,
    *secrets.CHECKS,
    *quality.CHECKS,
    *address.CHECKS,
    *pool_size.CHECKS,
    *web.CHECKS,
    *operation.CHECKS,
    *telemetry.CHECKS,
    *exposure.CHECKS,
    *requirement.CHECKS,
)
DSN_CHECKS: tuple[DsnCheck, ...] = (
    *address.DSN_CHECKS,
    *database_host.DSN_CHECKS,
    *driver.DSN_CHECKS,
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
    exposure,
    requirement,
    live_server,
)
_FOUND = {each for one in _MODULES for each in vars(one).values() if isinstance(each, Rule)}
RULES: tuple[Rule, ...] = tuple(sorted(_FOUND, key=lambda rule: rule.id))
"""Every rule that one of these modules names."""
