"""Rules about running the sidecar itself."""

import ipaddress
from collections.abc import Iterator

from sidecar.config.facts import Facts, Look
from sidecar.config.finding import Rule, Severity, Sighting
from sidecar.config.form import is_address

FLUSH_SECONDS = 5.0
GRACE_SECONDS = 30.0

OPS01 = Rule(
    "OPS01",
    "listening on the network without a token",
    relaxed=Severity.INFO,
    strict=Severity.WARNING,
    refs=("CWE-306",),
)
OPS02 = Rule(
    "OPS02",
    "draining that outlasts the usual grace period of 30 s",
    relaxed=Severity.WARNING,
    strict=Severity.WARNING,
)
OPS03 = Rule(
    "OPS03",
    "a limit shorter than two of the looks that it judges",
    relaxed=Severity.ERROR,
    strict=Severity.REFUSE,
)
# Workers are heard and the database is looked at once a second.
SHORTEST_LIMIT_SECONDS = 2.0


def short_limit(facts: Facts) -> Iterator[Sighting]:
    """See limits that one late look would break."""
    limits = {
        "SIDECAR_WORKER_HANG_SECONDS": facts.settings.worker_hang_seconds,
        "SIDECAR_LAG_LIMIT_SECONDS": facts.settings.lag_limit_seconds,
    }
    for name, limit in limits.items():
        if limit < SHORTEST_LIMIT_SECONDS:
            yield facts.sighting(
                OPS03,
                name,
                f"{name} is {limit:g} s; one late look would break it.",
                f"Set it to {SHORTEST_LIMIT_SECONDS:g} or more.",
            )


def open_without_token(facts: Facts) -> Iterator[Sighting]:
    """See an open port whose report nobody but this machine can read."""
    host = facts.settings.host
    is_loopback = host == "localhost" or (
        is_address(host) and ipaddress.ip_address(host).is_loopback
    )
    is_open = facts.settings.token is None and not facts.environ.is_promised("SIDECAR_TOKEN")
    if not is_loopback and is_open:
        yield facts.sighting(
            OPS01,
            "SIDECAR_TOKEN",
            "SIDECAR_HOST is open to the network and SIDECAR_TOKEN is not set: /metrics is "
            "public, the report and the status page answer on loopback only.",
            "Set SIDECAR_TOKEN to the output of: sidecar secret.",
        )


def long_drain(facts: Facts) -> Iterator[Sighting]:
    """See a drain that would end in SIGKILL."""
    total = facts.settings.drain_delay_seconds + FLUSH_SECONDS
    if total > GRACE_SECONDS:
        yield facts.sighting(
            OPS02,
            "SIDECAR_DRAIN_DELAY_SECONDS",
            f"Draining takes {facts.settings.drain_delay_seconds:g} s and flushing up to "
            f"{FLUSH_SECONDS:g} s; Kubernetes kills after {GRACE_SECONDS:g} s.",
            "Lower it, or raise terminationGracePeriodSeconds and silence OPS02.",
        )


RULES = (OPS01, OPS02, OPS03)
LOOKS: tuple[Look, ...] = (open_without_token, long_drain, short_limit)
