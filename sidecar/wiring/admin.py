"""What operators' commands do in the database: one connection, one task."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sidecar.config.settings import Settings
from sidecar.errors import MigrationError, UsageError
from sidecar.postgres.connection import (
    Init,
    RawConnection,
    connect,
    explain_init,
    translate_loss,
)
from sidecar.postgres.dead_letters import dead_letter
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.migration import migrate, pending
from sidecar.postgres.rights import translate_refusal
from sidecar.postgres.samples.sample import take_sample
from sidecar.process.agent_poller import AgentPoller
from sidecar.process.agent_socket import list_sockets
from sidecar.process.application import ProcessStatus
from sidecar.projections.projection_status import ProjectionStatus
from sidecar.wiring.boot import Boot
from sidecar.wiring.in_process import SubscriberStatus, fold
from sidecar.wiring.observed import find_interruptions
from sidecar.wiring.place import workers_directory
from sidecar.wiring.probe_process import EMBEDDED_DIRECTORY, open_database

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def open_session(boot: Boot, *, init: Init | None = None) -> AsyncIterator[RawConnection]:
    """Yield a connection to the configured database.

    Args:
        boot: Says which.
        init: Prepares the connection for code of the service.

    Raises:
        StoreUnavailableError: The server cannot be reached, or ended the session.
        StoreRefusedError: It refused a statement.
        UsageError: DATABASE_URL is not set and no embedded server has run in this directory, or
            SIDECAR_SCHEMA cannot be the name of a schema.
    """
    _require_database(boot.settings)
    async with open_database(boot.settings) as dsn:
        connection = await connect(dsn, application_name=boot.session_name)
        try:
            lost = "PostgreSQL ended the session; ask again."
            with translate_loss(connection, lost):
                async with translate_refusal(connection):
                    if prepare := explain_init(init):
                        await prepare(connection)
                    yield connection
        finally:
            await connection.close()


async def with_store(
    boot: Boot,
    task: Callable[Concatenate[RawConnection, P], Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return what a task returns that gets a connection first, then the other arguments.

    Raises:
        Exception: What `open_session` and the task raise.
        MigrationError: The schema is not at head.
    """
    async with open_session(boot) as connection:
        if steps := await pending(connection):
            names = ", ".join(step.name for step in steps)
            raise MigrationError(
                f"The schema is not at head, run `sidecar migrate`; pending: {names}."
            )
        return await task(connection, *args, **kwargs)


async def migrate_database(boot: Boot) -> list[str]:
    """Apply what is pending and return its names.

    Raises:
        MigrationError: A step failed and was rolled back, or the schema is newer.
        MissingRightsError: The role may not change the schema.
        StoreUnavailableError: The server cannot be reached.
    """
    async with open_session(boot) as connection:
        return [step.name for step in await migrate(connection)]


async def list_projections(boot: Boot) -> tuple[ProjectionStatus | SubscriberStatus, ...]:
    """Return the status of every projection and handler, those of the application's too."""
    sample = await with_store(boot, take_sample, SafeHeadFollower())
    processes = await _ask(boot.settings.agents, boot.settings.app_agent_urls)
    workers = await _ask(workers_directory(boot.settings))
    now_mono, now = time.monotonic(), datetime.now(UTC)
    inside = fold(processes, {}, now_mono).values()
    called = (SubscriberStatus.of(one, sample.published, now_mono, now) for one in inside)
    beats = (each.heartbeat for each in workers)
    stopped = find_interruptions(beats, now.timestamp())
    followed = (one.with_interruption(stopped.get(one.name)) for one in sample.projections)
    return (*followed, *called)


async def _ask(directory: Path, urls: Sequence[str] = ()) -> list[ProcessStatus]:
    """Return what each process that answers reports, once, by however many ways it is asked.

    None is waited for longer than a second.
    """
    pollers = [AgentPoller(url) for url in urls]
    with suppress(OSError):
        sockets = await asyncio.to_thread(list_sockets, directory)
        pollers += [AgentPoller.at(path) for path in sockets.values()]
    await asyncio.gather(*(poller.ask() for poller in pollers))
    beats = {each.heartbeat.agent or each.url: each.heartbeat for each in pollers}
    now_mono = time.monotonic()
    return [ProcessStatus(f"pid {beat.pid}", beat, now_mono) for beat in beats.values()]


async def show_dead_letter(boot: Boot, letter_id: int) -> dead_letter.DeadLetterDetail:
    """Return one dead letter with its event; secrets of its error are masked.

    Raises:
        UsageError: There is none of that number.
    """
    shown = await with_store(boot, dead_letter.show_dead_letter, letter_id)
    redact = boot.redactor
    return replace(
        shown, error_message=redact(shown.error_message), traceback=redact(shown.traceback)
    )


def _require_database(settings: Settings) -> None:
    """Refuse to make a new embedded server only to read from it."""
    directory = settings.data_directory / EMBEDDED_DIRECTORY
    if settings.database_url is None and not directory.exists():
        raise UsageError(
            f"DATABASE_URL is not set, and no embedded server has run in {directory}. Set it, or "
            "go to the directory where `sidecar serve` or `sidecar demo` was started."
        )
