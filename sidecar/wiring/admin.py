"""What the commands for people do: one connection, one task, done.

Each also raises what `open_session` does, and, but for `migrate_database`, MigrationError while the
schema is not at head.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from sidecar.config.settings import Settings
from sidecar.errors import MigrationError, ProjectionError, UsageError
from sidecar.postgres import block, dead_letter, rebuild
from sidecar.postgres.checkpoint import set_state
from sidecar.postgres.connection import RawConnection, connect, translate_loss
from sidecar.postgres.migration import migrate, pending
from sidecar.postgres.rights import translate_refusal
from sidecar.postgres.safe_head_follower import SafeHeadFollower
from sidecar.postgres.sample import take_sample
from sidecar.projections.standing import Standing
from sidecar.projections.work import State
from sidecar.wiring.boot import Boot
from sidecar.wiring.inquiry import CalledInside, ask_application
from sidecar.wiring.probe_process import EMBEDDED_DIRECTORY, open_database


@asynccontextmanager
async def open_session(boot: Boot) -> AsyncIterator[RawConnection]:
    """Yield a connection to the configured database.

    Raises:
        StoreUnavailableError: The server cannot be reached, or ended the session.
        StoreRefusedError: It refused a statement.
        UsageError: DATABASE_URL is not set and no embedded server has run in this directory.
    """
    require_database(boot.settings)
    name = f"{boot.settings.service_name} {boot.process}"
    async with open_database(boot.settings) as dsn:
        connection = await connect(dsn, application_name=name)
        try:
            lost = "PostgreSQL ended the session; ask again."
            with translate_loss(connection, lost):
                async with translate_refusal(connection):
                    yield connection
        finally:
            await connection.close()


def require_database(settings: Settings) -> None:
    """Refuse to make a new embedded server only to look into it.

    Raises:
        UsageError: DATABASE_URL is not set and no embedded server has run in this directory.
    """
    directory = settings.data_directory / EMBEDDED_DIRECTORY
    if settings.database_url is None and not directory.exists():
        raise UsageError(
            f"DATABASE_URL is not set, and no embedded server has run in {directory}. Set it, or "
            "go to the directory where `sidecar serve` or `sidecar demo` was started."
        )


async def migrate_database(boot: Boot) -> list[str]:
    """Apply what is pending and return its names.

    Raises:
        MigrationError: A step failed and was rolled back, or the schema is newer.
        MissingRightsError: The role may not change the schema.
        StoreUnavailableError: The server cannot be reached.
    """
    async with open_session(boot) as connection:
        return [step.name for step in await migrate(connection)]


async def list_projections(boot: Boot) -> tuple[Standing | CalledInside, ...]:
    """Return how every projection and handler stands, and what the application calls itself."""
    async with _open_store(boot) as connection:
        sample = await take_sample(connection, SafeHeadFollower())
    return (*sample.standings, *await ask_application(boot.settings, sample.published))


async def set_projection_state(boot: Boot, name: str, state: State) -> None:
    """Pause or resume a projection.

    Raises:
        ProjectionError: There is none of that name.
    """
    async with _open_store(boot) as connection:
        if not await set_state(connection, name, state):
            raise ProjectionError(
                f"There is no projection {name!r}; see `sidecar projections list`."
            )


async def accept_position(boot: Boot, name: str, position: int, reason: str) -> None:
    """Take a blocked projection as it is; see `postgres/block.py`.

    Raises:
        ProjectionError: There is nothing to accept, or no such position.
    """
    async with _open_store(boot) as connection:
        await block.accept_position(connection, name, position, reason)


async def accept(boot: Boot, name: str, reason: str) -> str:
    """Take a projection over from another service, or take it that it lacks what it passed over.

    Returns:
        What was accepted.

    Raises:
        ProjectionError: There is neither, or the projection waits for another decision.
    """
    async with _open_store(boot) as connection:
        if await block.accept_service(connection, name, boot.service, reason):
            return f"it belongs to {boot.service} now; start its workers again"
        events = await block.accept_passed_over(connection, name, reason)
        return f"it goes on without {events} event(s) that it passed over"


async def remove_projection(boot: Boot, name: str) -> None:
    """Forget a projection that nobody runs any more.

    Raises:
        ProjectionError: There is none of that name, or a worker runs it.
    """
    async with _open_store(boot) as connection:
        await block.remove(connection, name)


async def start_rebuild(boot: Boot, name: str) -> None:
    """Begin a rebuild or take a failed one up again; see `postgres/rebuild.py`.

    Raises:
        ProjectionError: There is none of that name, or its tables cannot be copied.
    """
    async with _open_store(boot) as connection:
        await rebuild.start_rebuild(connection, name)


async def count_discarded(boot: Boot, name: str) -> int:
    """Return how many events of the log people gave up for a projection."""
    async with _open_store(boot) as connection:
        return await dead_letter.count_discarded(connection, name)


async def cancel_rebuild(boot: Boot, name: str) -> None:
    """Drop the new copy.

    Raises:
        ProjectionError: No rebuild is under way.
    """
    async with _open_store(boot) as connection:
        await rebuild.cancel_rebuild(connection, name)


async def drop_old_copy(boot: Boot, name: str) -> None:
    """Drop what the last swap kept.

    Raises:
        ProjectionError: There is nothing to drop.
    """
    async with _open_store(boot) as connection:
        await rebuild.drop_old_copy(connection, name)


async def replay_handler(boot: Boot, name: str) -> None:
    """Let a handler hear of every event again.

    Raises:
        ProjectionError: There is no such handler.
    """
    async with _open_store(boot) as connection:
        await rebuild.replay_handler(connection, name)


@asynccontextmanager
async def watch_projection(
    boot: Boot, name: str
) -> AsyncIterator[Callable[[], Awaitable[tuple[Standing | None, int]]]]:
    """Yield a function that looks how a projection stands and where the safe head is."""
    async with open_session(boot) as connection:
        follower = SafeHeadFollower()

        async def look() -> tuple[Standing | None, int]:
            sample = await take_sample(connection, follower)
            found = (standing for standing in sample.standings if standing.name == name)
            return next(found, None), sample.safe_head

        yield look


async def list_dead_letters(
    boot: Boot, which: dead_letter.DeadLetterFilter
) -> list[dead_letter.DeadLetterRow]:
    """Return dead letters, the oldest first."""
    async with _open_store(boot) as connection:
        return await dead_letter.list_dead_letters(connection, which)


async def show_dead_letter(boot: Boot, letter_id: int) -> dead_letter.DeadLetterDetail:
    """Return one dead letter with its event; secrets of its error are masked.

    Raises:
        UsageError: There is none of that number.
    """
    async with _open_store(boot) as connection:
        shown = await dead_letter.show_dead_letter(connection, letter_id)
    redact = boot.redactor
    return replace(
        shown, error_message=redact(shown.error_message), traceback=redact(shown.traceback)
    )


async def request_retry(
    boot: Boot, letter_id: int | None, projection: str | None, stream: str | None
) -> list[int]:
    """Ask the workers to take parked streams up again; return the letters asked for, ascending.

    Args:
        boot: Names the database.
        letter_id: Only this letter.
        projection: Only letters of this projection.
        stream: Only letters of this stream.

    Raises:
        UsageError: There is no open letter of that number, or nothing of it can be tried again.
    """
    async with _open_store(boot) as connection:
        return await dead_letter.request_retry(
            connection, letter_id=letter_id, projection=projection, stream=stream
        )


async def discard_letter(boot: Boot, letter_id: int, reason: str) -> None:
    """Give an event up, with the reason kept.

    Raises:
        UsageError: There is no open letter of that number, or the reason is empty.
    """
    async with _open_store(boot) as connection:
        await dead_letter.discard(connection, letter_id, reason)


@asynccontextmanager
async def _open_store(boot: Boot) -> AsyncIterator[RawConnection]:
    async with open_session(boot) as connection:
        steps = await pending(connection)
        if steps:
            names = ", ".join(step.name for step in steps)
            raise MigrationError(
                f"The schema is not at head, run `sidecar migrate`; pending: {names}."
            )
        yield connection
