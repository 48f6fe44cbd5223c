"""Checks of PostgreSQL and the event store in it."""

import time
from typing import Final

from sidecar.diagnosis.cause import Cause
from sidecar.diagnosis.explanation import Explanation
from sidecar.errors import DatabaseUrlError, StoreUnavailableError, StoreUnreachableError
from sidecar.health.check import Check, ComponentType
from sidecar.health.duration import Stretch
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.postgres.samples.ping import Ping
from sidecar.postgres.samples.sample import Sample
from sidecar.projections.log_memory import describe_loss
from sidecar.wiring.checks import check
from sidecar.wiring.observed import fresh_sample

GROUP: Final = "database"
DATASTORE: Final = ComponentType.DATASTORE
# A server in the same region answers within a few milliseconds. Every statement waits as long as
# this one: a projection that asks once for each event then applies four in a second.
SLOW_SECONDS: Final = 0.25
# A writer may take its time; nobody keeps a transaction open for so long on purpose.
HOLD_WARN_SECONDS: Final = 10.0
HOLD_FAIL_SECONDS: Final = 60.0
# A login costs the server a process; one that failed is tried again sooner.
LOGIN_INTERVAL_SECONDS: Final = 60.0
LOGIN_RETRY_SECONDS: Final = 5.0
LOGIN_TIMEOUT_SECONDS: Final = 6.0


def postgres_check(ping: Ping) -> Check:
    """Does the server answer, soon, and take writes?"""

    @check(
        "postgres",
        GROUP,
        component_type=DATASTORE,
        measurement="response-time",
        timeout_seconds=1.0,
    )
    async def ask() -> CheckResult:
        began_mono = time.monotonic()
        try:
            refusal = await ping.ask()
        except StoreUnavailableError as error:
            return judge_unavailable("postgres", error)
        if refusal is not None:
            return judge_read_only("postgres", refusal)
        seconds = time.monotonic() - began_mono
        if seconds > SLOW_SECONDS:
            return warned("postgres.slow", seconds, "s")
        return passed(seconds, "s")

    return ask


def login_check(ping: Ping) -> Check:
    """Would a new session be let in? Those that are open may live on for long without."""
    answer, answered_mono = passed(), float("-inf")

    @check(
        "postgres-login",
        GROUP,
        critical=False,
        component_type=DATASTORE,
        fail_after=2,
        recover_after=1,
        interval_seconds=LOGIN_RETRY_SECONDS,
        timeout_seconds=LOGIN_TIMEOUT_SECONDS,
        max_age_seconds=3 * LOGIN_RETRY_SECONDS + LOGIN_TIMEOUT_SECONDS,
    )
    async def ask() -> CheckResult:
        nonlocal answer, answered_mono
        rests = answer.outcome is Outcome.PASS
        if rests and time.monotonic() - answered_mono < LOGIN_INTERVAL_SECONDS:
            return answer
        answer, answered_mono = await _try_login(ping), time.monotonic()
        return answer

    return ask


async def _try_login(ping: Ping) -> CheckResult:
    try:
        refusal = await ping.try_login()
    except StoreUnavailableError as error:
        return judge_unavailable("postgres-login", error)
    return passed() if refusal is None else judge_read_only("postgres-login", refusal)


def judge_unavailable(check: str, error: StoreUnavailableError) -> CheckResult:
    """Say why no session is to be had."""
    if not isinstance(error, StoreUnreachableError):
        cause = Cause.URL_UNREADABLE if isinstance(error, DatabaseUrlError) else Cause.REFUSED
        return failed(f"{check}.unreachable", detail=str(error), cause=cause)
    word = "timeout" if error.cause == Cause.NO_ANSWER else "unreachable"
    return failed(f"{check}.{word}", detail=str(error), cause=error.cause)


def judge_read_only(check: str, refusal: Explanation) -> CheckResult:
    """Say why a server that answers takes no writes."""
    detail = refusal.sentence("PostgreSQL is read-only")
    return failed(f"{check}.read-only", detail=detail, cause=refusal.cause)


def migrations_check(watch: DatabasePoller) -> Check:
    """Is the schema at head?"""

    # Reading memory costs nothing, so that a boot is ready soon after the schema is known.
    @check("migrations", GROUP, measurement="pending", interval_seconds=0.2, recover_after=1)
    async def ask() -> CheckResult:
        pending = watch.pending_migrations
        if pending is None:
            return CheckResult(Outcome.UNKNOWN, "migrations.unknown", detail=watch.trouble)
        if pending:
            cure = f"Run `sidecar migrate`; pending: {', '.join(pending)}."
            return failed("migrations.pending", len(pending), detail=watch.trouble or cure)
        return passed(0)

    return ask


def log_check(watch: DatabasePoller) -> Check:
    """Is the log the one that was seen before, with all that was seen?"""

    # As soon as `migrations`, after which the first look begins.
    @check(
        "event-log",
        GROUP,
        component_type=DATASTORE,
        measurement="lost",
        interval_seconds=0.2,
        recover_after=1,
    )
    async def ask() -> CheckResult:
        if watch.log.refusal:
            return failed("event-log.other-database", detail=watch.log.refusal)
        if watch.log.server_key is None:
            return CheckResult(Outcome.UNKNOWN, "event-log.unknown", detail=watch.trouble)
        sample = watch.sample
        if sample is None or not sample.losses:
            return passed(0)
        sentence = f"{describe_loss(sample.losses[0])}."
        return warned(
            "event-log.end-lost", sum(one.events for one in sample.losses), detail=sentence
        )

    return ask


class Advance:
    """Whether the safe head follows the head; measured here, not as its follower believes."""

    def __init__(self) -> None:
        self._safe_head: int | None = None
        self._stands: Final = Stretch()

    def judge(self, sample: Sample, now_mono: float) -> CheckResult:
        """Take a look in; a head that is ahead while the safe head stands is a hold."""
        stands = sample.head > sample.safe_head and sample.safe_head == self._safe_head
        self._safe_head = sample.safe_head
        stood_seconds = self._stands.lasted_seconds(now_mono, holds=stands)
        held_seconds = max(sample.held_seconds, stood_seconds)
        if held_seconds > HOLD_FAIL_SECONDS:
            return failed("event-store.stuck", held_seconds, "s")
        if held_seconds > HOLD_WARN_SECONDS:
            return warned("event-store.held", held_seconds, "s")
        return passed(sample.safe_head)


def store_check(watch: DatabasePoller) -> Check:
    """Does the safe head advance?"""
    advance = Advance()

    @check("event-store", GROUP, critical=False, component_type=DATASTORE, measurement="safe-head")
    async def ask() -> CheckResult:
        now_mono = time.monotonic()
        sample = fresh_sample(watch, now_mono)
        if sample is None:
            return _judge_unseen(watch)
        if sample.unsafe:
            return failed("event-store.unsafe-sequence")
        judged = advance.judge(sample, now_mono)
        if sample.unanswered and judged.outcome is Outcome.PASS:
            return warned("event-store.partly-unseen", detail=watch.trouble)
        return judged

    return ask


def _judge_unseen(watch: DatabasePoller) -> CheckResult:
    if watch.failed:
        return failed("event-store.unseen", detail=watch.trouble)
    # A watch that does not even fail has stopped, or has not begun.
    word = "pending" if watch.sampled_mono is None else "stale"
    return CheckResult(Outcome.UNKNOWN, f"event-store.{word}")
