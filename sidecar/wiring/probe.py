"""`sidecar serve [TARGET]`: the probe process. No code of the user's runs in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sidecar
from sidecar.config.settings import Settings
from sidecar.health.board import Board
from sidecar.health.monitor import Monitor
from sidecar.health.phase import Phase
from sidecar.postgres.embedded import embedded_server
from sidecar.postgres.ping import Ping
from sidecar.postgres.watch import Watch
from sidecar.process.listener import AgentListener
from sidecar.process.pulse import Pulse
from sidecar.process.supervisor import Supervisor, WorkerProcess
from sidecar.telemetry.merge import Exposition
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.watching import Sight, observe_loop_lag, observe_sight
from sidecar.web.app import Sources
from sidecar.wiring import check, snapshot
from sidecar.wiring.boot import Boot
from sidecar.wiring.roster import ProjectionRoster

REFRESH_SECONDS: Final = 0.5


class ProbeProcess:
    """What the probe process knows, and what it shows of it. Everything here reads memory.

    Attributes:
        board: Answers of the probes.
        pulse: Of this process's own loop.

    Args:
        boot: The prepared process.
        telemetry: Of this process; whoever started it closes it.
    """

    def __init__(self, boot: Boot, telemetry: Telemetry) -> None:
        self.pulse: Final = Pulse()
        self.monitor: Final = Monitor(
            [check.loop_check(self.pulse), check.configuration_check(boot.verdict)]
        )
        self.board: Final = Board(self.monitor, drain_readiness=boot.settings.drain_readiness)
        self._boot = boot
        self._exposition: Final = Exposition("probe", telemetry.registry)
        self._watch: Watch | None = None
        self._roster: ProjectionRoster | None = None
        self._supervisor: Supervisor | None = None
        self._application: AgentListener | None = None
        observe_loop_lag(telemetry, lambda: self.pulse.lag_seconds)
        observe_sight(telemetry, self.look)

    def sources(self) -> Sources:
        """Return what the web shows."""
        return Sources(
            board=self.board,
            collect_metrics=self.collect_metrics,
            take_report=self.take_report,
            take_snapshot=self.take_snapshot,
            service=self._boot.settings.service_name,
            version=sidecar.__version__,
            token=self._boot.settings.token,
            cors=self._boot.settings.cors,
        )

    def attach_database(self, dsn: str) -> Watch:
        """Watch a database from now on; the caller runs what is returned."""
        settings = self._boot.settings
        name = f"{settings.service_name} probe"
        watch = Watch(dsn, application_name=f"{name} watch", auto_migrate=settings.auto_migrate)
        self._watch = watch
        self._roster = ProjectionRoster(self.monitor, watch, settings.lag_limit_seconds)
        self.monitor.add(check.postgres_check(Ping(dsn, application_name=f"{name} check")))
        self.monitor.add(check.migrations_check(watch))
        self.monitor.add(check.store_check(watch))
        return watch

    def attach_workers(self, supervisor: Supervisor) -> None:
        """Judge and show these workers; the caller runs them."""
        self._supervisor = supervisor
        self.monitor.add(check.workers_check(supervisor))

    def attach_application(self, url: str) -> AgentListener:
        """Judge and show the application behind an agent; the caller runs what is returned."""
        self._application = AgentListener(url)
        self.monitor.add(check.agent_check(self._application))
        return self._application

    async def refresh(self) -> None:
        """Take in what other processes said, until cancelled."""
        while True:
            if self._roster is not None:
                self._roster.refresh()
            for process, text in self._expositions().items():
                if text is None:
                    self._exposition.forget(process)
                else:
                    self._exposition.accept(process, text)
            await asyncio.sleep(REFRESH_SECONDS)

    async def collect_metrics(self, accept: str) -> tuple[bytes, str]:
        """Render all processes' metrics, in a thread, so that probes are answered meanwhile."""
        return await asyncio.to_thread(self._exposition.render, accept)

    def take_report(self) -> Mapping[str, Any]:
        """Return the configuration report, with what workers found at their start."""
        report = self._boot.verdict.report(datetime.now(UTC)).as_dict()
        return {**report, "findings": self._findings()}

    def look(self) -> Sight:
        """Return what the metrics show."""
        sample = self._watch.sample if self._watch else None
        statuses = self.monitor.snapshot(time.monotonic())
        return Sight(
            projections=snapshot.see_projections(sample),
            store=snapshot.see_store(sample),
            checks={status.name: status.outcome.value for status in statuses},
            transitions={
                (name, outcome.value): count
                for (name, outcome), count in tuple(self.monitor.transitions.items())
            },
            findings=snapshot.count_findings(self._findings()),
            restarts={
                (worker.name, reason.value): count
                for worker in self._workers()
                for reason, count in worker.restarts.items()
            },
            scrape_failures=self._scrape_failures(),
            ready=self.board.readiness().verdict.ok,
            draining=self.board.phase is Phase.DRAINING,
        )

    def take_snapshot(self) -> Mapping[str, Any]:
        """Return what `/api/status` and the status page show."""
        sample = self._watch.sample if self._watch else None
        standings = sample.standings if sample else ()
        failures = sample.failures if sample else ()
        beats = snapshot.heartbeats_of(self._workers())
        readiness = self.board.readiness()
        now = time.time()
        return {
            "service": self._boot.settings.service_name,
            "version": sidecar.__version__,
            "phase": self.board.phase.value,
            "ready": readiness.verdict.ok,
            "verdict": snapshot.say(readiness.verdict.ok, readiness.verdict.reasons, standings),
            "checks": [
                snapshot.show_check(status) for status in self.monitor.snapshot(time.monotonic())
            ],
            "projections": [
                snapshot.show_standing(standing, failures, beats.get(standing.name), now)
                for standing in standings
            ],
            "store": snapshot.show_store(sample),
            "workers": [snapshot.show_worker(worker) for worker in self._workers()],
            "findings": self._findings(),
            "failures": [snapshot.show_failure(failure) for failure in failures],
        }

    def _findings(self) -> list[Mapping[str, Any]]:
        own = [finding.as_dict() for finding in self._boot.verdict.findings]
        return [*own, *snapshot.findings_of(self._workers())]

    def _workers(self) -> tuple[WorkerProcess, ...]:
        return self._supervisor.workers if self._supervisor else ()

    def _expositions(self) -> dict[str, str | None]:
        texts = {worker.name: worker.metrics for worker in self._workers()}
        if self._application is not None:
            texts["app"] = self._application.metrics
        return texts

    def _scrape_failures(self) -> dict[str, int]:
        failures = dict.fromkeys(self._expositions(), 0) | dict(self._exposition.failures)
        if self._application is not None:
            failures["app"] = failures.get("app", 0) + self._application.failures
        return failures


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[str]:
    """Yield the DSN of the configured server, or of the embedded one, run for that long.

    Raises:
        EmbeddedServerError: The embedded server does not start.
    """
    if settings.database_url is not None:
        yield settings.database_url.reveal()
        return
    server = embedded_server(settings.data_directory / "postgres")
    dsn = await asyncio.to_thread(server.__enter__)
    try:
        yield dsn
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
