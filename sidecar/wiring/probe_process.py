"""The probe process's knowledge and what it shows of it. No code of the user's runs in it."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sidecar.config.settings import Settings
from sidecar.events.publisher import SubscriberKind
from sidecar.health.history import History
from sidecar.health.monitor import Monitor
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.postgres.database_poller import DatabasePoller
from sidecar.postgres.embedded import embedded_server
from sidecar.postgres.ping import Ping
from sidecar.process.agent_poller import PortProbe
from sidecar.process.application import Application
from sidecar.process.background import Background
from sidecar.process.loop_lag import LoopLagMonitor
from sidecar.process.supervisor import Supervisor
from sidecar.telemetry.merge import Exposition
from sidecar.telemetry.probe_metrics import Sight, observe_loop_lag, observe_sight
from sidecar.telemetry.setup import Telemetry
from sidecar.version import __version__
from sidecar.web.app import Sources
from sidecar.wiring import in_process, snapshot
from sidecar.wiring.access import open_access
from sidecar.wiring.boot import Boot
from sidecar.wiring.checks import database, probe_process, process
from sidecar.wiring.checks.dynamic import DynamicChecks
from sidecar.wiring.headline import list_troubled, weigh
from sidecar.wiring.live import Examination
from sidecar.wiring.observed import ObservedState

REFRESH_SECONDS: Final = 0.5
SWITCH_SECONDS: Final = 0.0001
"""How long the thread that renders metrics keeps the interpreter while a probe waits for it: a
fiftieth of Python's own, for a probe is answered in less than that."""
EMBEDDED_DIRECTORY: Final = "postgres"

logger = logging.getLogger(__name__)


class ProbeProcess:
    """What the probe process knows, and what it shows of it. Everything here reads memory.

    Attributes:
        access: How people are let in.
        answers: Answers of the probes.
        examination: Of the configuration.
        monitor: Asks the checks.
        lag_monitor: Of this process's own loop.

    Args:
        boot: The prepared process.
        telemetry: Of this process; whoever started it closes it.
    """

    def __init__(self, boot: Boot, telemetry: Telemetry) -> None:
        self.lag_monitor: Final = LoopLagMonitor()
        self._state: Final = ObservedState()
        self.examination: Final = Examination(boot.verdict, boot.child_environ())
        self.monitor: Final = Monitor(
            [
                probe_process.loop_check(self.lag_monitor),
                probe_process.configuration_check(boot.verdict, lambda: self.examination.verdict),
                probe_process.telemetry_check(
                    lambda: telemetry.losses.total() + self._state.count_losses()
                ),
            ]
        )
        self.answers: Final = ProbeAnswers(
            self.monitor, drain_readiness=boot.settings.drain_readiness
        )
        self.access: Final = open_access(boot.settings, boot.redactor)
        self._boot = boot
        self._history: Final = History()
        self._dynamic_checks: Final = DynamicChecks(self.monitor)
        self._exposition: Final = Exposition(
            "probe", telemetry.registry, service=telemetry.identity.service_name
        )
        self._sight = Sight()
        self._judges_application = False
        self._backgrounds: Final[list[Background]] = []
        observe_loop_lag(telemetry, lambda: self.lag_monitor.lag_seconds)
        observe_sight(telemetry, lambda: self._sight)
        sys.setswitchinterval(SWITCH_SECONDS)

    def sources(self) -> Sources:
        """Return what the web shows."""
        return Sources(
            answers=self.answers,
            collect_metrics=self.collect_metrics,
            take_report=self.take_report,
            take_snapshot=self.take_snapshot,
            service=self._boot.settings.service_name,
            version=__version__,
            token=self.access.token,
        )

    def attach_loops(self, background: Background) -> None:
        """Show how often these loops died; the caller runs them."""
        self._backgrounds.append(background)

    def attach_database(self, dsn: str) -> DatabasePoller:
        """Watch a database from now on; the caller runs what is returned."""
        settings = self._boot.settings
        name = f"{settings.service_name} probe"
        watch = DatabasePoller(
            dsn, application_name=f"{name} watch", auto_migrate=settings.auto_migrate
        )
        self._state.watch = watch
        self.examination.attach_database(dsn)
        ping = Ping(dsn, application_name=f"{name} check")
        self.monitor.add(database.postgres_check(ping))
        self.monitor.add(database.login_check(ping))
        self.monitor.add(database.migrations_check(watch))
        self.monitor.add(database.store_check(watch))
        if settings.database_url is None:
            self.monitor.add(probe_process.disk_check(settings.data_directory))
        return watch

    def attach_workers(self, supervisor: Supervisor) -> None:
        """Judge and show these workers; the caller runs them."""
        self._state.supervisor = supervisor
        self.monitor.add(process.workers_check(supervisor))

    def attach_application(self, application: Application, port: PortProbe | None) -> None:
        """Judge and show the application; the caller runs what listens to it."""
        self._state.application, self._state.port = application, port
        self._meet_application()

    def _meet_application(self) -> None:
        """Judge the application from when one is known; it is never forgotten then."""
        application, port = self._state.application, self._state.port
        is_known = port is not None or (application is not None and application.is_known)
        if is_known and not self._judges_application:
            self._judges_application = True
            self.monitor.add(process.application_check(application, port))

    async def refresh(self) -> None:
        """Take in what other processes said, until cancelled."""
        while True:
            now_mono = time.monotonic()
            self._meet_application()
            self._state.look_inside(now_mono)
            checks = self._state.passing_checks(self._boot.settings.lag_limit_seconds)
            if checks is not None:
                self._dynamic_checks.update(checks)
            self._exposition.update(self._state.expositions())
            self._sight = self._look()
            self._history.record(snapshot.see_points(self._state.sample), now_mono)
            await asyncio.sleep(REFRESH_SECONDS)

    async def collect_metrics(self, accept: str) -> tuple[bytes, str]:
        """Render all processes' metrics, in a thread, so that probes are answered meanwhile."""
        return await asyncio.to_thread(self._exposition.render, accept)

    def take_report(self) -> Mapping[str, Any]:
        """Return the configuration report, with what workers found at their start."""
        report = self.examination.report(datetime.now(UTC))
        return {**report, "findings": self._findings()}

    def take_snapshot(self) -> Mapping[str, Any]:
        """Return what `/api/status` and the status page show."""
        state, readiness = self._state, self.answers.readiness().verdict
        failures = state.sample.failures if state.sample else ()
        now_mono = time.monotonic()
        silences = snapshot.silences_of(state.workers, now_mono)
        setups = snapshot.setups_of(state.workers)
        refusals = snapshot.refusals_of(state.workers)
        statuses = self.monitor.snapshot(now_mono)
        return {
            "service": self._boot.settings.service_name,
            "version": __version__,
            "phase": self.answers.phase.value,
            "ready": readiness.ok,
            "outcome": weigh(readiness.ok, statuses),
            "verdict": snapshot.say(
                readiness.ok,
                readiness.reasons,
                state.sample,
                workers=state.workers,
                statuses=statuses,
                inside=in_process.say(state.in_process.values(), now_mono),
            ),
            "trouble": [snapshot.show_check(status) for status in list_troubled(statuses)],
            "checks": [snapshot.show_check(status) for status in statuses],
            "projections": [
                snapshot.show_standing(
                    standing,
                    failures,
                    silences.get(standing.name),
                    setups.get(standing.name),
                    refusals.get(standing.name),
                )
                | snapshot.show_history(standing.name, self._history)
                for standing in state.standings
            ]
            + self._show_inside(SubscriberKind.PROJECTION, now_mono),
            "handlers": self._show_inside(SubscriberKind.HANDLER, now_mono),
            "store": snapshot.show_store(state.sample),
            "workers": [snapshot.show_worker(worker) for worker in state.workers],
            "application": [snapshot.show_member(member) for member in state.members],
            "pools": [snapshot.show_pool(owner, pool) for owner, pool in state.pools()],
            "loop_restarts": self._loop_restarts(),
            "findings": self._findings(),
            "failures": [snapshot.show_failure(failure) for failure in failures],
        }

    def _show_inside(self, kind: SubscriberKind, now_mono: float) -> list[Mapping[str, Any]]:
        """Show what the application calls in its own processes."""
        now = datetime.now(UTC)
        return [
            in_process.show(
                one, self._state.letters_of(key), in_process.failed_at(one, now_mono, now)
            )
            for key, one in self._state.in_process.items()
            if one.kind is kind
        ]

    def _look(self) -> Sight:
        """Return what the metrics show until the next refresh."""
        state = self._state
        statuses = self.monitor.snapshot(time.monotonic())
        return Sight(
            projections=snapshot.see_projections(state.sample),
            store=snapshot.see_store(state.sample),
            checks={status.name: status.outcome.value for status in statuses},
            causes=frozenset(status.cause for status in statuses if status.cause),
            transitions={
                (name, outcome.value): count
                for (name, outcome), count in self.monitor.transitions.items()
            },
            findings=snapshot.count_findings(self._findings()),
            restarts=snapshot.count_restarts(state.workers),
            scrape_failures=self._scrape_failures(),
            connections=state.sample.activity if state.sample else {},
            ready=self.answers.readiness().verdict.ok,
            draining=self.answers.phase is Phase.DRAINING,
        )

    def _findings(self) -> list[Mapping[str, Any]]:
        found = [finding.as_dict() for finding in self.examination.verdict.findings]
        return [*found, *self._state.findings()]

    def _loop_restarts(self) -> dict[str, int]:
        counts = {"checks": self.monitor.loop_restarts}
        for background in self._backgrounds:
            counts |= background.restarts
        return counts

    def _scrape_failures(self) -> dict[str, int]:
        failures = dict.fromkeys(self._state.expositions(), 0) | dict(self._exposition.failures)
        for target, count in self._state.missed().items():
            failures[target] = failures.get(target, 0) + count
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
    server = embedded_server(settings.data_directory / EMBEDDED_DIRECTORY)
    dsn = await asyncio.to_thread(server.__enter__)
    logger.info("Embedded PostgreSQL: %s", dsn, extra={"event": "sidecar.embedded.started"})
    try:
        yield dsn
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
