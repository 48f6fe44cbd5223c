"""Projections and handlers that an application publishes to in its own processes."""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecar.events.subscriber import SubscriberKind
from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult, passed, warned
from sidecar.process.application import ProcessStatus
from sidecar.process.heartbeat import SubscriberReport
from sidecar.projections.projection_sample import DeadLetterCount
from sidecar.projections.projection_status import Rebuild
from sidecar.wiring.checks import check

WARN_SECONDS: Final = 300.0
"""A failure is history then: what is wrong still fails again, and what was missed is in the log."""

Key = tuple[str, str]
"""Kind and name of a subscriber."""


@dataclass(frozen=True, slots=True)
class InProcess:
    """One subscriber, in all processes of the application together.

    Attributes:
        owners: The processes that call it; empty when all of them have ended.
        handled: Events, since each of them began.
        failed: Events that it raised at.
        error_type: Of the last failure; empty before the first.
        failed_mono: Monotonic time of the last failure; None before the first.
    """

    kind: SubscriberKind
    name: str
    owners: tuple[str, ...] = ()
    handled: int = 0
    failed: int = 0
    error_type: str = ""
    failed_mono: float | None = None

    @property
    def key(self) -> Key:
        """What distinguishes it from others."""
        return self.kind.value, self.name

    def with_report(
        self, owner: str, report: SubscriberReport, reported_mono: float
    ) -> "InProcess":
        """Add what one process reported, and when."""
        ago = report.failed_seconds_ago
        one = replace(
            self,
            owners=(*self.owners, owner),
            handled=self.handled + report.handled,
            failed=self.failed + report.failed,
        )
        if ago is None:
            return one
        return one.failed_at(reported_mono - ago, report.error_type)

    def failed_at(self, failed_mono: float, error_type: str) -> "InProcess":
        """Record a failure; the latest one counts."""
        if self.failed_mono is not None and self.failed_mono >= failed_mono:
            return self
        return replace(self, failed_mono=failed_mono, error_type=error_type)

    def failed_lately(self, now_mono: float) -> bool:
        """Return True when a person should look."""
        return self.failed_mono is not None and now_mono - self.failed_mono < WARN_SECONDS


def fold(
    processes: Iterable[ProcessStatus], before: Mapping[Key, InProcess], now_mono: float
) -> dict[Key, InProcess]:
    """Return every subscriber by key, and for a while those whose processes ended after a failure.

    `before` is what this returned last.
    """
    folded: dict[Key, InProcess] = {}
    for process in processes:
        reported_mono = now_mono if process.answered_mono is None else process.answered_mono
        for each in process.heartbeat.subscribers:
            new = InProcess(each.kind, each.name)
            known = folded.get(new.key, new)
            folded[new.key] = known.with_report(process.name, each, reported_mono)
    for key, known in before.items():
        if known.failed_mono is not None and known.failed_lately(now_mono):
            left = folded.get(key) or replace(known, owners=())
            folded[key] = left.failed_at(known.failed_mono, known.error_type)
    return folded


def subscriber_check(
    check_name: str, find: Callable[[], tuple[InProcess | None, DeadLetterCount | None]]
) -> Check:
    """Does a subscriber in the application take what is published to it?"""

    @check(check_name, "projections", critical=False, measurement="failures", at_once=True)
    async def ask() -> CheckResult:
        return judge(check_name, *find(), time.monotonic())

    return ask


def judge(
    check_name: str, one: InProcess | None, letters: DeadLetterCount | None, now_mono: float
) -> CheckResult:
    """Turn what is known of a subscriber into a check's answer."""
    if one is not None and one.failed_lately(now_mono):
        return warned(f"{check_name}.failing", one.failed)
    if letters is not None and letters.letters:
        return warned(f"{check_name}.dead-letters", letters.letters)
    return passed(0 if one is None else one.failed)


def describe_failures(subscribers: Iterable[InProcess], now_mono: float) -> list[str]:
    """Return a sentence for each that failed lately."""
    return [
        f"{one.kind.capitalize()} {one.name} failed in the application {_count(one.failed)}, "
        f"{'' if one.failed == 1 else 'last '}with {one.error_type}."
        for one in subscribers
        if one.failed_lately(now_mono)
    ]


@dataclass(frozen=True, slots=True)
class SubscriberStatus:
    """A subscriber that the application calls itself, in the columns of those that workers run.

    It has no position, and no lag that is known. Times are aware wall time.
    """

    name: str
    kind: str
    dead_letters: int
    parked_streams: int
    owners: tuple[str, ...]
    detail: str
    handled: int
    failed: int
    error_type: str
    failed_at: dt.datetime | None
    oldest_letter_at: dt.datetime | None
    status: str = "in_process"
    position: int | None = None
    lag_events: int | None = None
    lag_seconds: float | None = None
    moved_at: dt.datetime | None = None
    rebuild: Rebuild = Rebuild.NONE
    progress: float | None = None

    @classmethod
    def of(
        cls,
        one: InProcess,
        published: Mapping[str, DeadLetterCount],
        now_mono: float,
        now: dt.datetime,
    ) -> "SubscriberStatus":
        """Return how it stands at a moment, given twice: monotonic, and aware wall time.

        `published` are the open dead letters of what the application publishes to.
        """
        letters = published.get(one.name) if one.kind is SubscriberKind.PROJECTION else None
        ago = None if one.failed_mono is None else dt.timedelta(seconds=now_mono - one.failed_mono)
        return cls(
            name=one.name,
            kind=one.kind.value,
            dead_letters=letters.letters if letters else 0,
            parked_streams=letters.parked if letters else 0,
            owners=one.owners,
            detail=describe(one),
            handled=one.handled,
            failed=one.failed,
            error_type=one.error_type,
            failed_at=None if ago is None else now - ago,
            oldest_letter_at=letters.oldest_at if letters else None,
        )


def describe(one: InProcess) -> str:
    """Say what became of what was published to it."""
    counts = f"handled {one.handled}, failed {_count(one.failed)}"
    return f"{counts}, last {one.error_type}" if one.error_type else counts


def _count(times: int) -> str:
    return "once" if times == 1 else f"{times} times"
