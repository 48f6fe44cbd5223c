"""The probe process: what it observes, and what it shows of it. No user code runs in it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from sidecar.config.settings import Settings
from sidecar.health.history import History
from sidecar.health.monitor import Monitor
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.postgres.embedded import embedded_server
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.postgres.samples.ping import Ping
from sidecar.postgres.schema import choose_schema
from sidecar.process.agent_poller import PortProbe
from sidecar.process.application import Application
from sidecar.process.background import Background
from sidecar.process.loop_lag import LoopLagMonitor
from sidecar.process.supervisor import Supervisor
from sidecar.telemetry.merge import Exposition
from sidecar.telemetry.process_metrics import observe_loop_lag
from sidecar.telemetry.setup import Telemetry
from sidecar.version import __version__
from sidecar.web.app import Sources
from sidecar.wiring.access import open_access
from sidecar.wiring.boot import Boot
from sidecar.wiring.checks import database, process, this_process
from sidecar.wiring.checks.dynamic import DynamicChecks, wanted_checks
from sidecar.wiring.live import Examination
from sidecar.wiring.observed import ObservedState, Observer
from sidecar.wiring.state_metrics import observe_state
from sidecar.wiring.status_json import to_json, to_points

REFRESH_SECONDS: Final = 0.5
EMBEDDED_DIRECTORY: Final = "postgres"

logger = logging.getLogger(__name__)


class ProbeProcess:
    """Answers from memory what probes, Prometheus and the status page ask.

    Whoever makes it runs its loops, and closes the telemetry.
    """

    def __init__(self, boot: Boot, telemetry: Telemetry) -> None:
        self.lag_monitor: Final = LoopLagMonitor()
        self.examination: Final = Examination(boot.verdict, boot.child_environ())
        self.monitor: Final = Monitor()
        self.answers: Final = ProbeAnswers(
            self.monitor, drain_readiness=boot.settings.drain_readiness
        )
        self.token: Final = open_access(boot.settings, boot.redactor)
        self._boot = boot
        self._history: Final = History()
        self._dynamic_checks: Final = DynamicChecks(self.monitor)
        self._exposition: Final = Exposition(
            "probe", telemetry.registry, service=telemetry.identity.service_name
        )
        self._observer: Final = Observer(self.answers, self.examination, self._exposition)
        # Metrics show one state with what the other processes reported by then.
        self._measured = ObservedState()
        self._port: PortProbe | None = None
        self._judges_application = False
        for check in (
            this_process.loop_check(self.lag_monitor),
            this_process.configuration_check(boot.verdict, lambda: self.examination.verdict),
            this_process.telemetry_check(
                lambda: telemetry.losses.total() + self._observer.current().telemetry_dropped
            ),
        ):
            self.monitor.add(check)
        observe_loop_lag(telemetry, lambda: self.lag_monitor.lag_seconds)
        observe_state(telemetry, lambda: self._measured)

    def sources(self) -> Sources:
        """Return what the web shows."""
        return Sources(
            answers=self.answers,
            # In a thread, so that probes are answered meanwhile.
            collect_metrics=partial(asyncio.to_thread, self._exposition.render),
            take_report=lambda: self.examination.report(self._observer.current().now),
            take_snapshot=self.take_snapshot,
            service=self._boot.settings.service_name,
            version=__version__,
            token=self.token,
        )

    def attach_loops(self, background: Background) -> None:
        """Show how often these loops died; the caller runs them."""
        self._observer.backgrounds.append(background)

    def attach_database(self, dsn: str) -> DatabasePoller:
        """Watch a database from now on; the caller runs what is returned."""
        settings = self._boot.settings
        name = self._boot.session_name
        watch = DatabasePoller(
            dsn,
            application_name=f"{name} watch",
            auto_migrate=settings.auto_migrate,
            directory=settings.data_directory,
        )
        self._observer.database = watch
        self.examination.attach_database(dsn)
        ping = Ping(dsn, application_name=f"{name} check")
        self.monitor.add(database.postgres_check(ping))
        self.monitor.add(database.login_check(ping))
        self.monitor.add(database.migrations_check(watch))
        self.monitor.add(database.log_check(watch))
        self.monitor.add(database.store_check(watch))
        if settings.database_url is None:
            self.monitor.add(this_process.disk_check(settings.data_directory))
        return watch

    def attach_workers(self, supervisor: Supervisor) -> None:
        """Judge and show these workers; the caller runs them."""
        self._observer.supervisor = supervisor
        self.monitor.add(process.workers_check(supervisor))

    def attach_application(self, application: Application, port: PortProbe | None) -> None:
        """Judge and show the application; the caller runs what polls it."""
        self._observer.application, self._port = application, port
        self._meet_application()

    def _meet_application(self) -> None:
        """Judge the application from when one is known; it is never forgotten then."""
        application, port = self._observer.application, self._port
        is_known = port is not None or (application is not None and application.is_known)
        if is_known and not self._judges_application:
            self._judges_application = True
            self.monitor.add(process.application_check(application, port))

    async def refresh(self) -> None:
        """Observe what other processes report, until cancelled."""
        observer = self._observer
        while True:
            self._meet_application()
            state = self._measured = observer.observe(datetime.now(UTC), time.monotonic())
            checks = wanted_checks(
                observer.current, observer.application, self._boot.settings.lag_limit_seconds
            )
            if checks is not None:
                self._dynamic_checks.update(checks)
            self._exposition.update(state.expositions)
            self._history.record(to_points(state), state.now_mono)
            await asyncio.sleep(REFRESH_SECONDS)

    def take_snapshot(self) -> Mapping[str, Any]:
        """Return what `/api/status` and the status page show."""
        return to_json(
            self._observer.current(),
            self._history,
            service=self._boot.settings.service_name,
            version=__version__,
        )


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[str]:
    """Yield the DSN of the configured server, or of the embedded one, run for that long.

    Raises:
        EmbeddedServerError: The embedded server does not start.
        UsageError: SIDECAR_SCHEMA cannot be the name of a schema: another service's would be used.
    """
    choose_schema(None)
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
