"""Checks of PostgreSQL and the event store in it."""

import time
from typing import Final

from sidecar.errors import StoreUnavailableError
from sidecar.health.check import Check, ComponentType
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.postgres.ping import Ping
from sidecar.postgres.watch import Watch

HOLD_LIMIT_SECONDS: Final = 10.0


def postgres_check(ping: Ping) -> Check:
    """Does the server answer?"""

    async def ask() -> CheckResult:
        began_mono = time.monotonic()
        try:
            await ping.ask()
        except StoreUnavailableError:
            return failed("postgres.unreachable")
        return passed(time.monotonic() - began_mono, "s")

    return Check(
        name="postgres",
        run=ask,
        component_type=ComponentType.DATASTORE,
        measurement="response-time",
        timeout_seconds=1.0,
    )


def migrations_check(watch: Watch) -> Check:
    """Is the schema at head?"""

    async def ask() -> CheckResult:
        pending = watch.pending_migrations
        if pending is None:
            return CheckResult(Outcome.UNKNOWN, "migrations.unknown")
        if pending:
            return failed("migrations.pending", len(pending))
        return passed(0)

    # Reading memory costs nothing, so that a boot is ready soon after the schema is known.
    return Check(
        name="migrations", run=ask, measurement="pending", interval_seconds=0.2, recover_after=1
    )


def store_check(watch: Watch) -> Check:
    """Does the safe head advance?"""

    async def ask() -> CheckResult:
        sample = watch.sample
        if sample is None and watch.sampled_mono is None and not watch.failed:
            return CheckResult(Outcome.UNKNOWN, "event-store.pending")
        if sample is None:
            return failed("event-store.unseen")
        if sample.held_seconds > HOLD_LIMIT_SECONDS:
            return warned("event-store.held", sample.held_seconds, "s")
        return passed(sample.safe_head)

    return Check(
        name="event-store",
        run=ask,
        critical=False,
        component_type=ComponentType.DATASTORE,
        measurement="safe-head",
    )
