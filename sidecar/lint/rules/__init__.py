"""The catalogue: every rule, and every look that sees them."""

from sidecar.lint.change import ENV09
from sidecar.lint.fault_rules import DB07, ENV03, ENV04, ENV06, ENV07
from sidecar.lint.finding import Rule
from sidecar.lint.rule_context import Check
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
    *database_host.CHECKS,
    *driver.CHECKS,
    *pool_size.CHECKS,
    *web.CHECKS,
    *operation.CHECKS,
    *telemetry.CHECKS,
    *exposure.CHECKS,
    *requirement.CHECKS,
)

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (
            ENV03,
            ENV04,
            ENV06,
            ENV07,
            ENV09,
            DB07,
            *variables.RULES,
            *secrets.RULES,
            *quality.RULES,
            *address.RULES,
            *database_host.RULES,
            *driver.RULES,
            *pool_size.RULES,
            *web.RULES,
            *operation.RULES,
            *telemetry.RULES,
            *exposure.RULES,
            *requirement.RULES,
            *live_server.RULES,
        ),
        key=lambda rule: rule.id,
    )
)
