"""Running a worker from its first signal handler to its end."""

import asyncio
import logging
import socket

from sidecar.errors import UsageError
from sidecar.process.agent import listen
from sidecar.process.exit_code import EX_CONFIG
from sidecar.process.lifecycle import Shutdown
from sidecar.process.parent import end_with_parent
from sidecar.process.worker_place import LISTENER_VARIABLE
from sidecar.wiring.boot import Boot, log_findings
from sidecar.wiring.custom_rules import ask_here
from sidecar.wiring.place import DEFAULT_PORT, LOOPBACK, find_address
from sidecar.wiring.probe_process import open_database
from sidecar.wiring.target import load_target
from sidecar.wiring.worker_process import WorkerProcess

logger = logging.getLogger(__name__)


async def work(boot: Boot, target: str, *, supervised: bool) -> int:
    """Run the projections and handlers of `module:attribute` until a signal; return the exit code.

    One that is supervised, by `sidecar serve`, ends with it and leaves the findings to it.

    Raises:
        TargetError: The target is no publisher.
        UsageError: The agent's address cannot be listened on.
        EmbeddedServerError: The embedded server does not start.
    """
    shutdown = Shutdown()
    shutdown.install()
    if supervised:
        end_with_parent()
    else:
        boot = boot.extended(ask_here(boot.verdict.project, boot.environ))
        log_findings(boot.verdict.findings)
    if boot.verdict.refused:
        return EX_CONFIG
    publisher = load_target(target)
    telemetry = boot.start_telemetry()
    try:
        async with open_database(boot.settings) as dsn:
            process = WorkerProcess(boot, publisher, dsn, telemetry)
            await process.run(_listener(boot), shutdown)
    finally:
        await asyncio.to_thread(telemetry.close)
    return 0


def _listener(boot: Boot) -> socket.socket:
    """Take the socket that the supervisor listens on, or open one."""
    inherited = boot.environ.text(LISTENER_VARIABLE)
    if inherited.isdigit():
        return socket.socket(fileno=int(inherited))
    asked = find_address(boot.settings, None, None)
    if asked is not None:
        return listen(*asked)
    try:
        return listen(LOOPBACK, DEFAULT_PORT)
    except UsageError:
        listener = listen(LOOPBACK, 0)
        logger.warning(
            "Port %d is taken; the agent of this worker listens on %d. Set SIDECAR_AGENT_PORT to "
            "have it where somebody looks for it.",
            DEFAULT_PORT,
            listener.getsockname()[1],
            extra={"event": "sidecar.worker.port_taken"},
        )
        return listener
