"""Samples the database every second, on one connection, and keeps the last sample."""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from sidecar.errors import MigrationError, SidecarError, StoreUnavailableError
from sidecar.postgres.connect_failure import no_answer, unreachable
from sidecar.postgres.connection import (
    SESSION_ERRORS,
    RawConnection,
    connect,
    is_lost,
    open_session,
)
from sidecar.postgres.log_memory.log_keeper import LogKeeper
from sidecar.postgres.migration import migrate, pending
from sidecar.postgres.query import sql
from sidecar.postgres.rights import translate_refusal
from sidecar.postgres.samples.database_sampler import DatabaseSampler
from sidecar.postgres.samples.sample import Sample
from sidecar.projections.deleted_letters import DeletedLetters, describe_deleted
from sidecar.projections.safe_head import Writer

INTERVAL_SECONDS: Final = 1.0
# For each statement, not for a sample: the first sample takes dozens of round trips, and could
# otherwise never succeed over a slow link.
TIMEOUT_SECONDS: Final = 3.0
# The server ends a statement before that, so that the session lives on, whatever the role's own
# limit; and it does not wait for a lock for long, since other queries may succeed.
STATEMENT_SECONDS: Final = 2.5
LOCK_SECONDS: Final = 1.0
# Longer than a writer usually takes between its insert and its commit.
HOLD_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class DatabasePoller:
    """The last known state of the database, for readers that must not wait.

    A failed poll erases nothing: the last results stay, and readers judge them by their age.

    Attributes:
        sample: The last sample; None before the first.
        sampled_mono: Monotonic time of that sample.
        failed: Whether the last poll failed.
        trouble: Why, as a sentence; empty when it did not fail.
        pending_migrations: Names of migrations not applied; None before the first answer, and while
            the schema is of a newer release. A schema is never downgraded, so only another answer
            changes it.

    Args:
        dsn: Where the server is. It appears in no message.
        application_name: The name of the connection at the server.
        auto_migrate: Apply missing migrations.
        directory: Where the log is remembered beside the database; None for nowhere.
    """

    def __init__(
        self, dsn: str, *, application_name: str, auto_migrate: bool, directory: Path | None = None
    ) -> None:
        self.sample: Sample | None = None
        self.sampled_mono: float | None = None
        self.failed = False
        self.trouble = ""
        self.pending_migrations: tuple[str, ...] | None = None
        self._dsn = dsn
        self._application_name = application_name
        self._auto_migrate = auto_migrate
        self._sampler = DatabaseSampler()
        self.log: Final = LogKeeper(dsn, directory)
        self._connection: RawConnection | None = None
        self._is_schema_seen = self._is_log_known = False
        self._is_hold_logged = False
        self._is_unsafe_logged = False
        self._deleted: Mapping[str, DeletedLetters] = {}

    async def run(self) -> None:
        """Poll every second until cancelled."""
        try:
            while True:
                await self.poll()
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            self._drop()
            await self.log.close()

    async def poll(self) -> None:
        """Check the schema, then take a sample; a failure is kept in `trouble`, not raised."""
        try:
            connection = await self._connect()
            async with translate_refusal(connection):
                await self._require_known_log(connection)
                await self._check_schema(connection)
            if self.pending_migrations == ():
                await self._take_sample(connection)
                await self._remember_log(connection)
        except (*SESSION_ERRORS, TimeoutError, SidecarError) as error:
            self._record_failure(self._describe(error), type(error).__name__)
            self._drop()

    async def _connect(self) -> RawConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._dsn,
                application_name=self._application_name,
                command_timeout_seconds=TIMEOUT_SECONDS,
            )
            self._is_schema_seen = self._is_log_known = False
            self._sampler.begin_session()
            limits = (f"{seconds * 1000:.0f}" for seconds in (STATEMENT_SECONDS, LOCK_SECONDS))
            await self._connection.execute(sql("bound_watch"), *limits)
        return self._connection

    async def _require_known_log(self, connection: RawConnection) -> None:
        """Leave a database alone that took the place of the one that was seen before."""
        if not self._is_log_known and (refusal := await self.log.compare(connection)):
            raise StoreUnavailableError(refusal)
        self._is_log_known = True

    async def _remember_log(self, connection: RawConnection) -> None:
        if self.sample is not None and not self.failed:
            await self.log.attend(connection, self.sample.safe_head)

    async def _check_schema(self, connection: RawConnection) -> None:
        """Ask on each new session, which may reach another server, and until nothing is pending.

        A query that fails leaves a schema that was complete: a schema is never downgraded.
        """
        is_at_head = self.pending_migrations == ()
        if self._is_schema_seen and is_at_head:
            return
        try:
            await self._ask_schema(connection)
        except asyncpg.PostgresError as error:
            if not is_at_head or is_lost(connection, error):
                raise

    async def _ask_schema(self, connection: RawConnection) -> None:
        self.pending_migrations = await self._list_pending(connection)
        if self.pending_migrations and self._auto_migrate:
            # On another session, since the build of an index takes as long as it needs.
            async with open_session(self._dsn, application_name=self._application_name) as own:
                await migrate(own)
            self.pending_migrations = await self._list_pending(connection)
        self._is_schema_seen = True

    async def _list_pending(self, connection: RawConnection) -> tuple[str, ...]:
        try:
            return tuple(step.name for step in await pending(connection))
        except MigrationError:
            self.pending_migrations = None
            raise

    async def _take_sample(self, connection: RawConnection) -> None:
        sample = await self._sampler.sample(connection)
        trouble = await self._sampler.describe_failure(connection)
        if sample is None:
            self._record_failure(trouble, "StatementFailed")
            return
        self.sample, self.sampled_mono = sample, time.monotonic()
        self.failed, self.trouble = False, trouble
        self._log_hold(sample)
        self._log_unsafe(sample)
        self._log_deleted(sample)

    def _log_hold(self, sample: Sample) -> None:
        """Log once which transactions hold the safe head, once that has lasted a while."""
        if sample.held_seconds < HOLD_SECONDS:
            self._is_hold_logged = False
        elif not self._is_hold_logged:
            self._is_hold_logged = True
            logger.warning(
                "The safe head stands at position %d since %.0f s: %s may still fill a gap after "
                "it. Projections wait. End that transaction if it hangs",
                sample.safe_head,
                sample.held_seconds,
                ", ".join(map(_describe, sample.writers)) or "a transaction",
                extra={"event": "sidecar.store.held", "position": sample.safe_head},
            )

    def _log_unsafe(self, sample: Sample) -> None:
        """Log once why events could be missed."""
        if sample.unsafe and not self._is_unsafe_logged:
            logger.critical(
                "Events may be missed: %s", sample.unsafe, extra={"event": "sidecar.store.unsafe"}
            )
        self._is_unsafe_logged = bool(sample.unsafe)

    def _log_deleted(self, sample: Sample) -> None:
        """Log each deletion of dead letters once."""
        for name, deleted in sample.deleted.items():
            if self._deleted.get(name) != deleted:
                logger.error(
                    "Of projection %s %s",
                    name,
                    describe_deleted(name, deleted),
                    extra={"event": "sidecar.letters.missing", "projection": name},
                )
        self._deleted = sample.deleted

    def _record_failure(self, trouble: str, error_type: str) -> None:
        if not self.failed:
            logger.warning(
                "The database cannot be watched: %s",
                trouble,
                extra={"event": "sidecar.watch.lost", "error_type": error_type},
            )
        self.failed, self.trouble = True, trouble

    def _describe(self, error: Exception) -> str:
        if isinstance(error, SidecarError):
            return str(error)
        if isinstance(error, TimeoutError):
            return str(no_answer(self._dsn))
        return str(unreachable(error, self._dsn))

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _describe(writer: Writer) -> str:
    if writer.pid is None:
        return f"prepared transaction {writer.id}"
    age = "" if writer.age_seconds is None else f", {writer.age_seconds:.0f} s old"
    return f"pid {writer.pid} ({writer.application_name or 'unnamed'}, {writer.state}{age})"
