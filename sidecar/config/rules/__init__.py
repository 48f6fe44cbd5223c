"""The catalogue: every rule, and every look that sees them."""

from sidecar.config.change import ENV09
from sidecar.config.declaration import DB07, ENV04
from sidecar.config.facts import Look
from sidecar.config.finding import Rule
from sidecar.config.mount import ENV06
from sidecar.config.rules import (
    address,
    database,
    driver,
    environment,
    exposure,
    live,
    operation,
    pool,
    quality,
    requirement,
    secrets,
    telemetry,
    web,
)
from sidecar.config.sidecar_file import ENV07
from sidecar.config.text import ENV03

LOOKS: tuple[Look, ...] = (
    *environment.LOOKS,
    *secrets.LOOKS,
    *quality.LOOKS,
    *address.LOOKS,
    *database.LOOKS,
    *driver.LOOKS,
    *pool.LOOKS,
    *web.LOOKS,
    *operation.LOOKS,
    *telemetry.LOOKS,
    *exposure.LOOKS,
    *requirement.LOOKS,
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
            *environment.RULES,
            *secrets.RULES,
            *quality.RULES,
            *address.RULES,
            *database.RULES,
            *driver.RULES,
            *pool.RULES,
            *web.RULES,
            *operation.RULES,
            *telemetry.RULES,
            *exposure.RULES,
            *requirement.RULES,
            *live.RULES,
        ),
        key=lambda rule: rule.id,
    )
)
