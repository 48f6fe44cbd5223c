"""Rules about running the sidecar itself."""

import ipaddress

from sidecar.config.form import is_address
from sidecar.lint.finding import ERROR, INFO, REFUSE, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext

FLUSH_SECONDS = 5.0
GRACE_SECONDS = 30.0

OPS01 = Rule(
    "OPS01",
    "no token of its own in production; refused where it listens on the network",
    relaxed=INFO,
    refs=("CWE-306",),
)
OPS02 = Rule("OPS02", "draining that outlasts the usual grace period of 30 s", WARNING, WARNING)
OPS03 = Rule("OPS03", "a limit shorter than two of the looks that it judges", relaxed=ERROR)
OPS05 = Rule(
    "OPS05",
    "agents that answer whoever reaches an address that is not loopback's",
    INFO,
    WARNING,
    ("CWE-306",),
)
_CURE = "Set SIDECAR_TOKEN to the output of: sidecar secret."
# Workers and the database are sampled once a second.
SHORTEST_LIMIT_SECONDS = 2.0


def short_limit(context: RuleContext) -> Violations:
    """Find limits that one late sample would break."""
    limits = {
        "SIDECAR_WORKER_HANG_SECONDS": context.settings.worker_hang_seconds,
        "SIDECAR_LAG_LIMIT_SECONDS": context.settings.lag_limit_seconds,
    }
    for name, limit in limits.items():
        if limit < SHORTEST_LIMIT_SECONDS:
            message = f"{name} is {limit:g} s; one late look would break it."
            hint = f"Set it to {SHORTEST_LIMIT_SECONDS:g} or more."
            yield Violation(OPS03, name, message, hint)


def without_token(context: RuleContext) -> Violations:
    """Find a sidecar whose report cannot be read, or whose metrics are open to the network.

    Outside of production it makes a token itself; the numbers in /metrics are open all the same.
    An environment without a word about the sidecar is that of another program.
    """
    if context.settings.token is not None or context.environ.is_promised("SIDECAR_TOKEN"):
        return
    is_open = not _is_loopback(context.settings.host)
    is_meant = any(each.name.startswith("SIDECAR_") for each in context.environ)
    if context.settings.environment.is_strict and is_meant:
        message = (
            "SIDECAR_TOKEN is not set: the report, the status page and check detail answer nobody."
        )
        at_most = REFUSE if is_open else WARNING
        yield Violation(OPS01, "SIDECAR_TOKEN", message, _CURE, at_most=at_most)
    elif is_open:
        message = (
            "SIDECAR_HOST is open to the network and SIDECAR_TOKEN is not set: /metrics is "
            "public, and the token of the rest is one that was made here."
        )
        yield Violation(OPS01, "SIDECAR_TOKEN", message, _CURE)


def open_agent(context: RuleContext) -> Violations:
    """Find agents that serve the numbers and checks of a process to the network."""
    host = context.settings.agent_host
    if host is not None and not _is_loopback(host):
        message = "SIDECAR_AGENT_HOST is open to the network, and an agent asks nobody for a token."
        hint = "Meet in SIDECAR_AGENT_DIR instead, or let nobody but the sidecar reach that port."
        yield Violation(OPS05, "SIDECAR_AGENT_HOST", message, hint)


def long_drain(context: RuleContext) -> Violations:
    """Find a drain that would end in SIGKILL."""
    total = context.settings.drain_delay_seconds + FLUSH_SECONDS
    if total > GRACE_SECONDS:
        message = (
            f"Draining takes {context.settings.drain_delay_seconds:g} s and flushing up to "
            f"{FLUSH_SECONDS:g} s; Kubernetes kills after {GRACE_SECONDS:g} s."
        )
        hint = "Lower it, or raise terminationGracePeriodSeconds and silence OPS02."
        yield Violation(OPS02, "SIDECAR_DRAIN_DELAY_SECONDS", message, hint)


CHECKS: Checks = (without_token, open_agent, long_drain, short_limit)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
