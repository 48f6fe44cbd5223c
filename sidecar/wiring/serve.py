"""Running the probe process from its first signal handler to its last metric."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from sidecar.config.option import OnInvalid
from sidecar.config.settings import Settings
from sidecar.health.phase import Phase, Stage
from sidecar.postgres.connection import open_session
from sidecar.postgres.dead_letters.dead_letter_retention import DeadLetterRetention
from sidecar.process.agent_poller import PortProbe
from sidecar.process.application import Application
from sidecar.process.background import Background
from sidecar.process.descriptors import raise_limit, share
from sidecar.process.exit_code import EX_CONFIG, EX_USAGE
from sidecar.process.garbage_collector import freeze_gc
from sidecar.process.lifecycle import Shutdown
from sidecar.process.supervisor import Supervisor
from sidecar.process.worker_place import WorkerPlace
from sidecar.web.app import build
from sidecar.web.client_connection import MAX_CONNECTIONS
from sidecar.web.server import serve as listen
from sidecar.wiring.access import KeptToken, address_of
from sidecar.wiring.boot import Boot, log_findings
from sidecar.wiring.custom_rules import ask_apart
from sidecar.wiring.probe_process import ProbeProcess, open_database
from sidecar.wiring.target import split_target

logger = logging.getLogger(__name__)

SWITCH_SECONDS: Final = 0.0001
"""How long the thread that renders metrics keeps the interpreter while a probe waits for it: a
fiftieth of Python's own, for a probe is answered in less than that."""

Beside = Callable[[str, ProbeProcess], Awaitable[None]]
"""What runs beside the probe process while it serves, given the DSN; ended by cancellation."""


async def serve(
    boot: Boot, *, target: str | None, workers: int, beside: Beside | None = None
) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code.

    On a signal the process drains: readiness turns red (or stays, as configured), requests are
    served on for the drain delay, workers finish their transactions, then everything is closed. A
    second signal skips the waiting.

    Raises:
        UsageError: The address cannot be listened on, or the target has no such form.
        EmbeddedServerError: The embedded server does not start.
    """
    shutdown = Shutdown()
    shutdown.install()
    boot = await _judge(boot)
    settings = boot.settings
    if target is not None:
        split_target(target)
    if boot.verdict.refused and settings.on_invalid is OnInvalid.EXIT:
        return EX_CONFIG
    async with AsyncExitStack() as stack:
        probe = await _open_probe(stack, boot)
        if boot.verdict.refused:
            probe.answers.enter(Phase.HELD)
            await shutdown.requested.wait()
            return 0
        probe.answers.begin(Stage.DATABASE)
        dsn = await stack.enter_async_context(open_database(settings))
        # Whatever uses the database ends before an embedded server does.
        attached = await _open_background(stack, probe)
        attached.start("watch", probe.attach_database(dsn).run)
        _attach_application(probe, attached, settings)
        probe.answers.begin(Stage.WORKERS)
        supervisor = make_supervisor(boot, target, workers, dsn)
        if supervisor.workers:
            probe.attach_workers(supervisor)
        else:
            _attach_retention(boot, dsn, attached)
        if beside is not None:
            attached.start("beside", lambda: beside(dsn, probe))
        await _supervise(supervisor, probe, settings, shutdown)
        return EX_USAGE if supervisor.refused else 0


async def _open_probe(stack: AsyncExitStack, boot: Boot) -> ProbeProcess:
    """Start to answer; the database and the workers come later."""
    sys.setswitchinterval(SWITCH_SECONDS)
    telemetry = boot.start_telemetry()
    stack.push_async_callback(asyncio.to_thread, telemetry.close)
    probe = ProbeProcess(boot, telemetry)
    listener = await listen(
        build(probe.sources()),
        boot.settings.host,
        boot.settings.port,
        most_connections=_most_connections(),
    )
    stack.push_async_callback(listener.close)
    logger.info("Listening on %s", listener.url, extra={"event": "sidecar.serve.listening"})
    background = await _open_background(stack, probe)
    if isinstance(probe.token, KeptToken):
        probe.token.announce(address_of(listener.host, listener.port), boot.settings.log_format)
        background.start("token", probe.token.follow)
    background.start("pulse", probe.lag_monitor.run)
    background.start("monitor", probe.monitor.run)
    background.start("refresh", probe.refresh)
    background.start("examination", probe.examination.run)
    return probe


def _most_connections() -> int:
    """Return how many clients the limit of open files leaves room for, and log a low one."""
    limit = raise_limit()
    most = share(limit, MAX_CONNECTIONS)
    if most < MAX_CONNECTIONS:
        logger.warning(
            "At most %d clients are connected at once: the limit of open files is %d. Raise it "
            "with `ulimit -n`",
            most,
            limit,
            extra={"event": "sidecar.serve.few_descriptors", "limit": limit},
        )
    return most


async def _judge(boot: Boot) -> Boot:
    """Have the rules in code asked, too, and log every finding."""
    boot = boot.extended(await ask_apart(boot.verdict.project, boot.child_environ()))
    log_findings(boot.verdict.findings)
    return boot


async def _open_background(stack: AsyncExitStack, probe: ProbeProcess) -> Background:
    """Open a place for loops; they end with the stack, and the probe process shows them."""
    background = await stack.enter_async_context(Background())
    probe.attach_loops(background)
    return background


def _attach_application(probe: ProbeProcess, attached: Background, settings: Settings) -> None:
    application = Application(settings.agents, settings.app_agent_urls)
    port = PortProbe(settings.app_url) if settings.app_url else None
    probe.attach_application(application, port)
    attached.start("agents", application.run)
    if port is not None:
        attached.start("application", port.run)


def _attach_retention(boot: Boot, dsn: str, attached: Background) -> None:
    """Delete old dead letters, as workers do, where there may be none but the application's."""
    if days := boot.settings.dead_letter_days:
        name = f"{boot.session_name} retention"
        connect = partial(open_session, dsn, application_name=name)
        attached.start("retention", partial(DeadLetterRetention(days).run, connect))


async def _supervise(
    supervisor: Supervisor, probe: ProbeProcess, settings: Settings, shutdown: Shutdown
) -> None:
    """Run the workers until a signal; then drain.

    Raises:
        BaseExceptionGroup: A bug ended the supervision; the workers ended with it.
    """

    async def drain() -> None:
        if not shutdown.requested.is_set():  # A worker refuses to start at all.
            shutdown.request()
        probe.answers.enter(Phase.DRAINING)
        logger.info("Draining", extra={"event": "sidecar.serve.draining"})
        if not supervisor.refused:
            await shutdown.rest(settings.drain_delay_seconds)
        supervisor.stop()

    freeze_gc()
    if not shutdown.requested.is_set():
        probe.answers.enter(Phase.RUNNING)
    await shutdown.run(supervisor.run(), drain)


def make_supervisor(boot: Boot, target: str | None, workers: int, dsn: str) -> Supervisor:
    """Build the supervisor of so many workers; of none without a target."""
    # Workers read the environment themselves; only the embedded server's address is news to them.
    news = {} if boot.settings.database_url is not None else {"DATABASE_URL": dsn}
    environ = boot.child_environ(**news)
    names = [f"worker-{number}" for number in range(1, workers + 1)] if target else []
    command = [sys.executable, "-m", "sidecar", "run", target or "", "--supervised-as"]
    return Supervisor(
        [WorkerPlace(name, [*command, name], environ) for name in names],
        hang_seconds=boot.settings.worker_hang_seconds,
    )
