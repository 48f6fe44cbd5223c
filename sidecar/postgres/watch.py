"""Looks at the database again and again, on one connection, and remembers what it saw last."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import asyncpg

from sidecar.errors import DatabaseUrlError, MigrationError, StoreUnavailableError
from sidecar.postgres.connection import RawConnection, connect
from sidecar.postgres.head import HeadFollower
from sidecar.postgres.migration import migrate, pending
from sidecar.postgres.sample import Sample, take_sample
from sidecar.projections.head import Writer

INTERVAL_SECONDS: Final = 1.0
# For each statement, not for a look: the first one takes dozens of round trips, which a slow link
# must not keep from ever being made.
TIMEOUT_SECONDS: Final = 3.0
# Longer than a writer usually takes between its insert and its commit.
HOLD_SECONDS: Final = 5.0
# Their messages say what to do, and hold no secret.
_TELLING: Final = (MigrationError, DatabaseUrlError)

logger = logging.getLogger(__name__)


class Watch:
    """What is known of the database, for readers that must not wait.

    Attributes:
        sample: The last look; None before the first and whenever the last one failed, for an old
            number is worse than none.
        sampled_mono: Monotonic time of the last look that succeeded.
        failed: Whether the last look failed.
        pending_migrations: Names of what is not applied; None while that is not known.

    Args:
        dsn: Where the server is. It appears in no message.
        application_name: How the connection is called at the server.
        auto_migrate: Apply missing migrations.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        auto_migrate: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sample: Sample | None = None
        self.sampled_mono: float | None = None
        self.failed = False
        self.pending_migrations: tuple[str, ...] | None = None
        self._dsn = dsn
        self._application_name = application_name
        self._auto_migrate = auto_migrate
        self._clock = clock
        self._follower = HeadFollower()
        self._connection: RawConnection | None = None
        self._hold_told = False
        self._unsafe_told = False

    async def run(self) -> None:
        """Look every second until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            self._drop()

    async def _look(self) -> None:
        try:
            connection = await self._connect()
            await self._check_schema(connection)
            if self.pending_migrations == ():
                self.sample = await take_sample(connection, self._follower)
                self.sampled_mono, self.failed = self._clock(), False
                self._tell_hold(self.sample)
                self._tell_unsafe(self.sample)
        except (
            OSError,
            TimeoutError,
            StoreUnavailableError,
            MigrationError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            self._lose(error)

    async def _connect(self) -> RawConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._dsn,
                application_name=self._application_name,
                command_timeout_seconds=TIMEOUT_SECONDS,
            )
            # Another session may see another server, with a shorter log.
            self._follower = HeadFollower()
        return self._connection

    async def _check_schema(self, connection: RawConnection) -> None:
        if self.pending_migrations == ():
            return
        if self._auto_migrate:
            await migrate(connection)
        self.pending_migrations = tuple(step.name for step in await pending(connection))

    def _tell_hold(self, sample: Sample) -> None:
        """Log once who keeps the safe head from going on, as soon as that lasts."""
        if sample.held_seconds < HOLD_SECONDS:
            self._hold_told = False
        elif not self._hold_told:
            self._hold_told = True
            logger.warning(
                "The safe head stands at position %d since %.0f s: %s may still fill a gap after "
                "it. Projections wait. End that transaction if it hangs",
                sample.safe_head,
                sample.held_seconds,
                ", ".join(map(_describe, sample.writers)) or "a transaction",
                extra={"event": "sidecar.store.held", "position": sample.safe_head},
            )

    def _tell_unsafe(self, sample: Sample) -> None:
        """Log once why events could be missed."""
        if sample.unsafe and not self._unsafe_told:
            logger.critical(
                "Events may be missed: %s", sample.unsafe, extra={"event": "sidecar.store.unsafe"}
            )
        self._unsafe_told = bool(sample.unsafe)

    def _lose(self, error: Exception) -> None:
        if not self.failed:
            logger.warning(
                "The database cannot be watched: %s",
                error if isinstance(error, _TELLING) else type(error).__name__,
                extra={"event": "sidecar.watch.lost", "error_type": type(error).__name__},
            )
        self.sample, self.pending_migrations, self.failed = None, None, True
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _describe(writer: Writer) -> str:
    if writer.pid is None:
        return f"prepared transaction {writer.id}"
    age = "" if writer.age_seconds is None else f", {writer.age_seconds:.0f} s old"
    return f"pid {writer.pid} ({writer.application_name or 'unnamed'}, {writer.state}{age})"
