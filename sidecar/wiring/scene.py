"""Everything that the probe process watches, and the plain questions to it."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sidecar.health.check import Check
from sidecar.postgres.sample import Sample
from sidecar.postgres.watch import Watch
from sidecar.process.listener import AgentListener, PortProbe
from sidecar.process.supervisor import Supervisor, WorkerPlace
from sidecar.projections.standing import Standing
from sidecar.wiring.checks.database import is_fresh
from sidecar.wiring.checks.process import pool_check, told_check
from sidecar.wiring.checks.projection import projection_check
from sidecar.wiring.naming import name_checks
from sidecar.wiring.snapshot import refusals_of, silences_of
from sidecar.wiring.told import PoolTold, checks_told, losses_told, pools_told

APPLICATION = "app"


@dataclass(slots=True)
class Scene:
    """What is there to be watched; what is None is not there, or not yet."""

    watch: Watch | None = None
    supervisor: Supervisor | None = None
    agent: AgentListener | None = None
    port: PortProbe | None = None

    @property
    def sample(self) -> Sample | None:
        """The last look at the database; None when it failed or is long past."""
        if self.watch is None or not is_fresh(self.watch, time.monotonic()):
            return None
        return self.watch.sample

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How the projections stand; empty while that is not known."""
        return self.sample.standings if self.sample else ()

    @property
    def workers(self) -> tuple[WorkerPlace, ...]:
        """The workers."""
        return self.supervisor.workers if self.supervisor else ()

    def expositions(self) -> dict[str, str | None]:
        """Return each process's metrics as text; None for those that are silent."""
        texts = {worker.name: worker.metrics for worker in self.workers}
        return texts | ({APPLICATION: self.agent.metrics} if self.agent else {})

    def heartbeats(self) -> dict[str, Mapping[str, object]]:
        """Return what each process told of itself last."""
        told = {worker.name: worker.heartbeat for worker in self.workers}
        return told | ({APPLICATION: self.agent.heartbeat} if self.agent else {})

    def pools(self) -> Iterator[tuple[str, PoolTold]]:
        """Yield (process, pool) for every pool told of."""
        for process, heartbeat in self.heartbeats().items():
            for pool in pools_told(heartbeat).values():
                yield process, pool

    def count_losses(self) -> int:
        """Return how much telemetry the other processes lost, each since its start."""
        return sum(map(losses_told, self.heartbeats().values()))

    def findings(self) -> list[Mapping[str, Any]]:
        """Return what workers found at their start, each finding once."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for worker in self.workers:
            told = worker.heartbeat.get("findings")
            for finding in told if isinstance(told, list) else ():
                found[str(finding["id"]), str(finding["message"])] = finding
        return list(found.values())

    def find_standing(self, name: str) -> Standing | None:
        """Return how a projection stands; None when that is not known now."""
        return next((standing for standing in self.standings if standing.name == name), None)

    def find_silence(self, name: str) -> float | None:
        """Return how many seconds ago a projection's loop turned; None if not in our workers."""
        return silences_of(self.workers, time.monotonic()).get(name)

    def is_refused(self, name: str) -> bool:
        """Tell whether a projection is another service's, and so not run by our workers."""
        return name in refusals_of(self.workers)

    def find_pool(self, process: str, name: str) -> PoolTold | None:
        """Return a pool; None when nothing is heard of it now."""
        if self.expositions().get(process) is None:
            return None
        return pools_told(self.heartbeats()[process]).get(name)

    def passing_checks(self, lag_limit_seconds: float) -> dict[str, Callable[[], Check]] | None:
        """Return, by name, the checks of what comes and goes; None while that is not seen."""
        if self.sample is None:
            return None
        return {
            **self._projection_checks(lag_limit_seconds),
            **self._pool_checks(),
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

    def _pool_checks(self) -> dict[str, Callable[[], Check]]:
        checks: dict[str, Callable[[], Check]] = {}
        for process in self.heartbeats():
            pools = [pool.name for owner, pool in self.pools() if owner == process]
            for pool, name in name_checks(f"pool-{process}", pools).items():
                checks[name] = partial(pool_check, name, partial(self.find_pool, process, pool))
        return checks

    def _told_checks(self) -> dict[str, Callable[[], Check]]:
        if self.agent is None:
            return {}
        return {
            told.name: partial(told_check, told, self.agent)
            for told in checks_told(self.agent.heartbeat).values()
        }
