"""Checks of PostgreSQL and the event store in it."""

import time
from typing import Final

from sidecar.errors import StoreUnavailableError
from sidecar.health.check import Check, ComponentType
from sidecar.health.duration import lasted_seconds, since
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.postgres.ping import Ping
from sidecar.postgres.sample import Sample
from sidecar.postgres.watch import Watch

GROUP: Final = frozenset({"database"})
# A server in the same region answers within a few milliseconds. Every statement waits as long as
# this one: a projection that asks once for each event then applies four in a second.
SLOW_SECONDS: Final = 0.25
# A writer may take its time; nobody keeps a transaction open for so long on purpose.
HOLD_WARN_SECONDS: Final = 10.0
HOLD_FAIL_SECONDS: Final = 60.0
# The watch looks each second; over a slow link a look takes some seconds itself.
SAMPLE_LIFE_SECONDS: Final = 10.0


def postgres_check(ping: Ping) -> Check:
    """Does the server answer, and soon?"""

    async def ask() -> CheckResult:
        began_mono = time.monotonic()
        try:
            await ping.ask()
        except StoreUnavailableError:
            return failed("postgres.unreachable")
        seconds = time.monotonic() - began_mono
        if seconds > SLOW_SECONDS:
            return warned("postgres.slow", seconds, "s")
        return passed(seconds, "s")

    return Check(
        name="postgres",
        run=ask,
        component_type=ComponentType.DATASTORE,
        measurement="response-time",
        timeout_seconds=1.0,
        groups=GROUP,
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
        name="migrations",
        run=ask,
        measurement="pending",
        interval_seconds=0.2,
        recover_after=1,
        groups=GROUP,
    )


def is_fresh(watch: Watch, now_mono: float) -> bool:
    """Tell whether the last look is recent; a watch that stopped would show it for ever."""
    return watch.sampled_mono is not None and now_mono - watch.sampled_mono < SAMPLE_LIFE_SECONDS


class Advance:
    """Whether the safe head follows the head; measured here, not as its follower believes."""

    def __init__(self) -> None:
        self._safe_head: int | None = None
        self._started_mono: float | None = None

    def judge(self, sample: Sample, now_mono: float) -> CheckResult:
        """Take a look in; a head that is ahead while the safe head stands is a hold."""
        stands = sample.head > sample.safe_head and sample.safe_head == self._safe_head
        self._safe_head = sample.safe_head
        self._started_mono = since(self._started_mono, now_mono, holds=stands)
        held_seconds = max(sample.held_seconds, lasted_seconds(self._started_mono, now_mono))
        if held_seconds > HOLD_FAIL_SECONDS:
            return failed("event-store.stuck", held_seconds, "s")
        if held_seconds > HOLD_WARN_SECONDS:
            return warned("event-store.held", held_seconds, "s")
        return passed(sample.safe_head)


def store_check(watch: Watch) -> Check:
    """Does the safe head advance?"""
    advance = Advance()

    async def ask() -> CheckResult:
        sample, now_mono = watch.sample, time.monotonic()
        if sample is None and watch.sampled_mono is None and not watch.failed:
            return CheckResult(Outcome.UNKNOWN, "event-store.pending")
        if sample is None:
            return failed("event-store.unseen")
        if not is_fresh(watch, now_mono):
            return CheckResult(Outcome.UNKNOWN, "event-store.stale")
        if sample.unsafe:
            return failed("event-store.unsafe-sequence")
        return advance.judge(sample, now_mono)

    return Check(
        name="event-store",
        run=ask,
        critical=False,
        component_type=ComponentType.DATASTORE,
        measurement="safe-head",
        groups=GROUP,
    )
