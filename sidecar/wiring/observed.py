"""Everything that the probe process watches, and the plain questions to it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sidecar.events.publisher import SubscriberKind
from sidecar.health.check import Check
from sidecar.postgres.database_poller import DatabasePoller
from sidecar.postgres.sample import Sample
from sidecar.process.agent_poller import PortProbe
from sidecar.process.application import Application, Member
from sidecar.process.heartbeat import Heartbeat, PoolReport
from sidecar.process.supervisor import Supervisor, WorkerPlace
from sidecar.projections.projection_status import DeadLetterCount, ProjectionStatus
from sidecar.wiring import in_process
from sidecar.wiring.checks.database import is_fresh
from sidecar.wiring.checks.process import pool_check, reported_check
from sidecar.wiring.checks.projection import projection_check
from sidecar.wiring.in_process import InProcess, Key, subscriber_check
from sidecar.wiring.naming import name_checks
from sidecar.wiring.snapshot import refusals_of, silences_of


@dataclass(slots=True)
class ObservedState:
    """What is there to be watched; what is None is not there, or not yet."""

    watch: DatabasePoller | None = None
    supervisor: Supervisor | None = None
    application: Application | None = None
    port: PortProbe | None = None
    in_process: dict[Key, InProcess] = field(default_factory=dict)

    @property
    def sample(self) -> Sample | None:
        """The last look at the database; None when it failed or is long past."""
        if self.watch is None or not is_fresh(self.watch, time.monotonic()):
            return None
        return self.watch.sample

    @property
    def standings(self) -> tuple[ProjectionStatus, ...]:
        """How the projections stand; empty while that is not known."""
        return self.sample.standings if self.sample else ()

    @property
    def workers(self) -> tuple[WorkerPlace, ...]:
        """The workers."""
        return self.supervisor.workers if self.supervisor else ()

    @property
    def members(self) -> tuple[Member, ...]:
        """The processes of the application."""
        return self.application.members if self.application else ()

    def expositions(self) -> dict[str, str | None]:
        """Return each process's metrics as text; None for those that are silent."""
        texts = {worker.name: worker.metrics for worker in self.workers}
        return texts | {member.name: member.poller.metrics for member in self.members}

    def heartbeats(self) -> dict[str, Heartbeat]:
        """Return what each process told of itself last."""
        told = {worker.name: worker.told for worker in self.workers}
        return told | {member.name: member.poller.heartbeat for member in self.members}

    def pools(self) -> Iterator[tuple[str, PoolReport]]:
        """Yield (process, pool) for every pool told of."""
        for process, heartbeat in self.heartbeats().items():
            for pool in heartbeat.pools:
                yield process, pool

    def count_losses(self) -> int:
        """Return how much telemetry the other processes lost, each since its start."""
        return sum(heartbeat.telemetry_dropped for heartbeat in self.heartbeats().values())

    def look_inside(self, now_mono: float) -> None:
        """Take in what the application's processes told of their subscribers."""
        told = (
            in_process.Told(
                member.name,
                member.poller.contact.answered_mono or now_mono,
                member.poller.heartbeat.subscribers,
            )
            for member in self.members
        )
        self.in_process = in_process.fold(told, self.in_process, now_mono)

    def letters_of(self, key: Key) -> DeadLetterCount | None:
        """Return the open dead letters of what the application publishes to."""
        kind, name = key
        published = self.sample.published if self.sample else {}
        return published.get(name) if kind == SubscriberKind.PROJECTION else None

    def missed(self) -> Mapping[str, int]:
        """Return how often each process of the application was asked in vain."""
        return self.application.failures if self.application else {}

    def findings(self) -> list[Mapping[str, Any]]:
        """Return what workers found at their start, each finding once."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for worker in self.workers:
            told = worker.heartbeat.get("findings")
            for finding in told if isinstance(told, list) else ():
                found[str(finding["id"]), str(finding["message"])] = finding
        return list(found.values())

    def find_standing(self, name: str) -> ProjectionStatus | None:
        """Return how a projection stands; None when that is not known now."""
        return next((standing for standing in self.standings if standing.name == name), None)

    def find_silence(self, name: str) -> float | None:
        """Return how many seconds ago a projection's loop turned; None if not in our workers."""
        return silences_of(self.workers, time.monotonic()).get(name)

    def is_refused(self, name: str) -> bool:
        """Tell whether our workers must not run a projection, whoever runs it elsewhere."""
        return name in refusals_of(self.workers)

    def find_pool(self, process: str, name: str) -> PoolReport | None:
        """Return a pool; None when nothing is heard of it now."""
        if self.expositions().get(process) is None:
            return None
        pools = self.heartbeats()[process].pools
        return next((pool for pool in pools if pool.name == name), None)

    def passing_checks(self, lag_limit_seconds: float) -> dict[str, Callable[[], Check]] | None:
        """Return, by name, the checks of what comes and goes; None while that is not seen."""
        if self.sample is None:
            return None
        return {
            **self._projection_checks(lag_limit_seconds),
            **self._pool_checks(),
            **self._subscriber_checks(),
            **self._told_checks(),
        }

    def _projection_checks(self, lag_limit_seconds: float) -> dict[str, Callable[[], Check]]:
        names = name_checks("projection", (standing.name for standing in self.standings))
        return {
            name: partial(
                projection_check,
                projection,
                name,
                self.find_standing,
                self.find_silence,
                self.is_refused,
                lag_limit_seconds,
            )
            for projection, name in names.items()
        }

    def _subscriber_checks(self) -> dict[str, Callable[[], Check]]:
        """Return those of what is called in the application; what workers run has its own names."""
        keys = dict.fromkeys(self.in_process)
        keys |= dict.fromkeys((SubscriberKind.PROJECTION.value, name) for name in self._published)
        run_by_workers = {standing.name for standing in self.standings}
        checks: dict[str, Callable[[], Check]] = {}
        for kind in SubscriberKind:
            own = [name for one, name in keys if one == kind]
            for prefix, names in (
                (kind.value, [name for name in own if name not in run_by_workers]),
                (f"published-{kind.value}", [name for name in own if name in run_by_workers]),
            ):
                for name, check_name in name_checks(prefix, names).items():
                    find = partial(self._find_inside, (kind.value, name))
                    checks[check_name] = partial(subscriber_check, check_name, find)
        return checks

    @property
    def _published(self) -> Iterable[str]:
        return self.sample.published if self.sample else ()

    def _find_inside(self, key: Key) -> tuple[InProcess | None, DeadLetterCount | None]:
        return self.in_process.get(key), self.letters_of(key)

    def _pool_checks(self) -> dict[str, Callable[[], Check]]:
        checks: dict[str, Callable[[], Check]] = {}
        for process, heartbeat in self.heartbeats().items():
            pools = [pool.name for pool in heartbeat.pools]
            for pool, name in name_checks(f"pool-{process}", pools).items():
                checks[name] = partial(pool_check, name, partial(self.find_pool, process, pool))
        return checks

    def _told_checks(self) -> dict[str, Callable[[], Check]]:
        if self.application is None:
            return {}
        return {
            told.name: partial(reported_check, told, self.application)
            for member in self.members
            for told in member.poller.heartbeat.checks
        }
