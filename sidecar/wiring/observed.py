"""What the probe process knows at one moment: page, JSON, metrics and checks are made of it."""

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from sidecar.events.subscriber import SubscriberKind
from sidecar.health.check_status import CheckStatus
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.health.verdict import ProbeVerdict
from sidecar.lint.finding import Finding
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.postgres.samples.sample import Sample
from sidecar.process.application import Application, ProcessStatus
from sidecar.process.background import Background
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.supervisor import Supervisor
from sidecar.process.worker_place import WorkerStatus
from sidecar.projections.deleted_letters import DeletedLetters
from sidecar.projections.interruption import TOLD_SECONDS, Interruption, by_need
from sidecar.projections.projection_sample import DeadLetterCount
from sidecar.projections.projection_status import ProjectionStatus
from sidecar.telemetry.merge import Exposition
from sidecar.telemetry.pool_metrics import PoolReport, read_pools
from sidecar.wiring.in_process import InProcess, Key, fold
from sidecar.wiring.live import Examination

# The poller looks each second; over a slow link a look takes some seconds itself.
SAMPLE_LIFE_SECONDS: Final = 10.0
STATE_LIFE_SECONDS: Final = 1.0

LONG_AGO: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class ObservedState:
    """Everything that is known at one moment; nothing in it changes, and nothing asks a clock.

    Attributes:
        now_mono: The moment, monotonic seconds.
        now: The same, aware UTC.
        readiness: What `/ready` answers; None before the first look.
        checks: Where each check stands.
        findings: Of the configuration and of the workers, most severe first.
        sample: The last look at the database; None when it failed or is long past.
        workers: Those that this process started.
        members: The processes of the application.
        pools: Connection pools by process; of one that is silent, as they were before.
        subscribers: What the application calls in its own processes.
        transitions: How often each (check, outcome) was arrived at.
        loop_restarts: How often each loop of this process died.
        scrape_failures: How often the numbers of each process were asked for in vain, or refused.
    """

    now_mono: float = 0.0
    now: dt.datetime = LONG_AGO
    phase: Phase = Phase.STARTING
    readiness: ProbeVerdict | None = None
    checks: tuple[CheckStatus, ...] = ()
    findings: tuple[Finding, ...] = ()
    sample: Sample | None = None
    workers: tuple[WorkerStatus, ...] = ()
    members: tuple[ProcessStatus, ...] = ()
    pools: Mapping[str, tuple[PoolReport, ...]] = field(default_factory=dict)
    subscribers: Mapping[Key, InProcess] = field(default_factory=dict)
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    loop_restarts: Mapping[str, int] = field(default_factory=dict)
    scrape_failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether traffic may come."""
        return self.readiness is not None and self.readiness.ok

    @property
    def causes(self) -> frozenset[str]:
        """Why PostgreSQL cannot be used, of a closed set."""
        return frozenset(status.cause for status in self.checks if status.cause)

    @property
    def connections(self) -> Mapping[tuple[str, str], int]:
        """Sessions at the server by (application name, state), both bounded."""
        return self.sample.activity if self.sample else {}

    @property
    def projections(self) -> tuple[ProjectionStatus, ...]:
        """How the projections stand; empty while that is not known."""
        return self.sample.projections if self.sample else ()

    @property
    def published(self) -> Mapping[str, DeadLetterCount]:
        """Open dead letters of what the application publishes to, by projection."""
        return self.sample.published if self.sample else {}

    @property
    def deleted(self) -> Mapping[str, DeletedLetters]:
        """Dead letters that were deleted by hand, by projection."""
        return self.sample.deleted if self.sample else {}

    @property
    def processes(self) -> tuple[WorkerStatus | ProcessStatus, ...]:
        """Every other process that reports here."""
        return *self.workers, *self.members

    @property
    def expositions(self) -> dict[str, str | None]:
        """Each process's metrics as text; None for those that are silent."""
        return {process.name: process.metrics for process in self.processes}

    @property
    def telemetry_dropped(self) -> int:
        """How much telemetry the other processes lost, each since its start."""
        return sum(process.heartbeat.telemetry_dropped for process in self.processes)

    @cached_property
    def loop_ages(self) -> Mapping[str, float]:
        """How many seconds ago each projection's live loop turned, the worst of its partitions.

        What a worker reported is as old as its answer. No wall time is in it: it may be set.
        """
        ages: dict[str, float] = {}
        for worker in self.workers:
            since_seconds = self.now_mono - worker.reported_mono
            for loop in worker.heartbeat.projections:
                if loop.copy == "live" and loop.heartbeat_age_seconds is not None:
                    age = loop.heartbeat_age_seconds + since_seconds
                    ages[loop.projection] = max(ages.get(loop.projection, 0.0), age)
        return ages

    @cached_property
    def setups(self) -> Mapping[str, float]:
        """Age of each projection's setup that is not over, the oldest of all workers."""
        # Sorted, the oldest of a name comes last, and stays.
        return dict(sorted(age for each in self.workers for age in each.heartbeat.setups.items()))

    @cached_property
    def interruptions(self) -> Mapping[str, Interruption]:
        """What keeps projections from coming on for some time, by name; the longest of each."""
        beats = (worker.heartbeat for worker in self.workers)
        return find_interruptions(beats, self.now.timestamp())

    @cached_property
    def refused(self) -> Mapping[str, str]:
        """Why our workers must not run projections that others may run, by name."""
        return {
            name: why for worker in self.workers for name, why in worker.heartbeat.refused.items()
        }

    @cached_property
    def projections_by_name(self) -> Mapping[str, ProjectionStatus]:
        """How each projection stands; those of which that is not known are not there."""
        return {each.name: each for each in self.projections}

    def find_pool(self, process: str, name: str) -> PoolReport | None:
        """Return a pool; None when nothing is known of it now."""
        if self.expositions.get(process) is None:
            return None
        return next((pool for pool in self.pools.get(process, ()) if pool.name == name), None)

    def letters_of(self, key: Key) -> DeadLetterCount | None:
        """Return the open dead letters of a subscriber that the application calls itself."""
        kind, name = key
        return self.published.get(name) if kind == SubscriberKind.PROJECTION else None


def find_interruptions(beats: Iterable[Heartbeat], now_at: float) -> dict[str, Interruption]:
    """Return what has kept loops from coming on for longer than a moment, by projection.

    `now_at` is Unix time.
    """
    found: dict[str, list[Interruption]] = {}
    for loop in (loop for beat in beats for loop in beat.projections):
        one = loop.interruption
        if one is not None and now_at - one.since_at >= TOLD_SECONDS:
            found.setdefault(loop.projection, []).append(replace(one, copy=loop.copy))
    return {name: min(each, key=by_need) for name, each in found.items()}


@dataclass(slots=True)
class Observer:
    """Makes a state of what the parts of this process hold in memory; None is not there yet."""

    answers: ProbeAnswers
    examination: Examination
    exposition: Exposition
    backgrounds: list[Background] = field(default_factory=list)
    database: DatabasePoller | None = None
    supervisor: Supervisor | None = None
    application: Application | None = None
    last: ObservedState = field(default_factory=ObservedState)
    _last_change: tuple[int, Phase] | None = None

    def current(self) -> ObservedState:
        """Return the last state, or a new one.

        A new one when the refresh is overdue, and when the database was looked at, a check changed
        or the process began to drain since: the page and `/ready` must not contradict each other.
        """
        now_mono = time.monotonic()
        is_recent = now_mono - self.last.now_mono < STATE_LIFE_SECONDS
        is_newest = self._last_change == self._change() and not self._has_newer_sample()
        if is_recent and is_newest:
            return self.last
        return self.observe(dt.datetime.now(dt.UTC), now_mono)

    def _change(self) -> tuple[int, Phase]:
        """Return what differs after each change of what `/ready` answers, but by age."""
        return self.answers.monitor.revision, self.answers.phase

    def _has_newer_sample(self) -> bool:
        sampled_mono = self.database.sampled_mono if self.database else None
        return sampled_mono is not None and sampled_mono > self.last.now_mono

    def observe(self, now: dt.datetime, now_mono: float) -> ObservedState:
        """Make the state of a moment, given twice: aware UTC, and monotonic seconds."""
        workers = self.supervisor.workers if self.supervisor else ()
        statuses = tuple(worker.status() for worker in workers)
        members = self.application.statuses() if self.application else ()
        found = (violation for each in statuses for violation in each.heartbeat.violations)
        self.examination.take_in(tuple(dict.fromkeys(found)))
        self._last_change = self._change()
        self.last = ObservedState(
            now_mono=now_mono,
            now=now,
            phase=self.answers.phase,
            readiness=self.answers.readiness().verdict,
            checks=self.answers.monitor.snapshot(now_mono),
            findings=self.examination.verdict.findings,
            sample=fresh_sample(self.database, now_mono),
            workers=statuses,
            members=members,
            pools=self._read_pools((*statuses, *members)),
            subscribers=fold(members, self.last.subscribers, now_mono),
            transitions={
                (name, outcome.value): count
                for (name, outcome), count in self.answers.monitor.transitions.items()
            },
            loop_restarts=self._loop_restarts(),
            scrape_failures=self._scrape_failures((*statuses, *members)),
        )
        return self.last

    def _read_pools(
        self, processes: Iterable[WorkerStatus | ProcessStatus]
    ) -> dict[str, tuple[PoolReport, ...]]:
        """Read the pools out of each new exposition; those of a silent process are still known."""
        known, pools = self.last.expositions, dict(self.last.pools)
        return {
            each.name: pools.get(each.name, ())
            if each.metrics is None or each.metrics is known.get(each.name)
            else read_pools(each.metrics)
            for each in processes
        }

    def _loop_restarts(self) -> dict[str, int]:
        counts = {"checks": self.answers.monitor.loop_restarts}
        for background in self.backgrounds:
            counts |= background.restarts
        return counts

    def _scrape_failures(self, processes: Iterable[WorkerStatus | ProcessStatus]) -> dict[str, int]:
        failures = dict.fromkeys((each.name for each in processes), 0)
        failures |= self.exposition.failures
        for target, count in (self.application.failures if self.application else {}).items():
            failures[target] = failures.get(target, 0) + count
        return failures


def fresh_sample(database: DatabasePoller | None, now_mono: float) -> Sample | None:
    """Return the last look while it is recent; one that stopped would be shown for ever."""
    if database is None or database.sampled_mono is None:
        return None
    return database.sample if now_mono - database.sampled_mono < SAMPLE_LIFE_SECONDS else None
