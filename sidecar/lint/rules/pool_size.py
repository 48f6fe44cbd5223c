"""Rules about the size of the pool."""

from sidecar.lint.finding import INFO, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext

POOL_ADVICE = "Small deployments 5/20, medium 10/50, large 20/100."
LOW_MAX_SIZE = 10
LOW_MIN_SIZE = 2

DB09 = Rule("DB09", "pool sizes left at their defaults", None, INFO)
DB15 = Rule("DB15", "a pool too small for production", INFO, WARNING)
DB11 = Rule(
    "DB11", "waiting for a connection longer than callers wait for an answer", WARNING, WARNING
)
# Load balancers and gateways give up after 30 to 60 s by default.
PATIENCE_SECONDS = 30.0


def long_wait(context: RuleContext) -> Violations:
    """Find a wait for the pool that is longer than its callers wait."""
    wait = context.settings.pool_acquire_timeout_seconds
    if wait >= PATIENCE_SECONDS:
        message = (
            f"A connection is waited for up to {wait:g} s; callers give up after "
            f"{PATIENCE_SECONDS:g} s."
        )
        hint = "Lower it, to fail while somebody still listens; 10 s is the default."
        yield Violation(DB11, "DB_POOL_ACQUIRE_TIMEOUT_SECONDS", message, hint)


def pool_size(context: RuleContext) -> Violations:
    """Find pools that are small, or of the default size."""
    settings = context.settings
    names = ("DB_POOL_MIN_SIZE", "DB_POOL_MAX_SIZE")
    if not any(context.environ.text(name) for name in names):
        message = "DB_POOL_MIN_SIZE and DB_POOL_MAX_SIZE are the defaults, 5 and 20."
        yield Violation(DB09, names[0], message, f"Tune them for the load. {POOL_ADVICE}")
    sizes = ((settings.pool_min_size, LOW_MIN_SIZE), (settings.pool_max_size, LOW_MAX_SIZE))
    for name, (size, low) in zip(names, sizes, strict=True):
        if size < low:
            yield Violation(DB15, name, f"{name} is low: {size}.", f"Raise it. {POOL_ADVICE}")


CHECKS: Checks = (pool_size, long_wait)
