"""Failures of in-process publishing, kept as dead letters and retried by the application."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import asyncpg

from sidecar.errors import (
    EventDecodingError,
    EventTypeError,
    MigrationError,
    StoreUnavailableError,
)
from sidecar.events.publish_result import Failure
from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.connection import RawConnection, read_committed, translate_loss
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.postgres.rights import missing_rights, translate_refusal
from sidecar.postgres.schema import choose_schema, use_schema
from sidecar.projections.dead_letter import Redact, categorize, describe_error

StreamOf = Callable[[object], str]

_NO_TABLE: Final = "the database has no table for dead letters yet, run `sidecar migrate`."

logger = logging.getLogger(__name__)


def stream_of(event: object) -> str:
    """Return the event's `stream` or `aggregate_id`, else its class: order is kept within it."""
    for attribute in ("stream", "aggregate_id"):
        value = getattr(event, attribute, None)
        if value is not None:
            return str(value)
    return type(event).__name__


class PostgresDeadLetterSink:
    """Implements `sidecar.DeadLetterSink`, with a function that masks secrets."""

    def __init__(
        self,
        pool: MeteredPool,
        types: EventTypes,
        *,
        redact: Redact,
        find_stream: StreamOf = stream_of,
        schema: str | None = None,
    ) -> None:
        self._pool: Final = pool
        self._types: Final = types
        self._redact: Final = redact
        self._find_stream: Final = find_stream
        self.schema: Final = choose_schema(schema)

    async def require_place(self) -> None:
        """Make sure that dead letters can be kept.

        Raises:
            MigrationError: There is no table for them.
            MissingRightsError: The role has no right to keep them.
            StoreUnavailableError: PostgreSQL cannot be reached.
        """
        async with self._pool.acquire() as connection:
            lost = translate_loss(connection, "The session of the dead letters ended.")
            with use_schema(self.schema), lost:
                async with translate_refusal(connection):
                    row = await connection.fetchrow(sql("find_letter_rights"))
        if row is None:
            raise MigrationError(f"Failures of `publish` cannot be kept: {_NO_TABLE}")
        if row["missing"]:
            raise missing_rights([row["missing"]])

    async def keep(self, event: object, failures: Sequence[Failure], trace_id: str | None) -> None:
        """Keep one dead letter per failure.

        Raises:
            StoreUnavailableError: They could not be kept.
        """
        kept = (self._name_stream(event), *self._encode(event))
        rows = [
            (
                failure.name,
                *kept,
                *describe_error(failure.error, self._redact),
                trace_id,
                categorize(failure.error),
            )
            for failure in failures
        ]
        try:
            with use_schema(self.schema):
                await self._pool.executemany(sql("keep_pushed"), rows)
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
            named = getattr(error, "sqlstate", None) or type(error).__name__
            is_missing = isinstance(error, asyncpg.UndefinedTableError)
            reason = _NO_TABLE if is_missing else f"{named}."
            raise StoreUnavailableError(f"Failures could not be kept: {reason}") from error

    async def retry_due(self, publisher: EventPublisher) -> int:
        """Retry due dead letters, in order, until none is due; return how many were resolved.

        The retry of a stream ends at its first failure.

        Raises:
            StoreRefusedError: PostgreSQL refused, as for a right; what was resolved stays resolved.
            StoreUnavailableError: The connection was lost; likewise.
        """
        names = [subscriber.name for subscriber in publisher.projections]
        resolved = 0
        with use_schema(self.schema):
            while (outcome := await self._retry_next(publisher, names)) is not None:
                resolved += outcome
        return resolved

    async def _retry_next(self, publisher: EventPublisher, names: list[str]) -> bool | None:
        """Retry the next one and return True when it is resolved; None when none is due."""
        async with self._pool.acquire() as connection:
            with translate_loss(connection, "The session of the retries ended."):
                async with translate_refusal(connection), read_committed(connection):
                    letter = await connection.fetchrow(sql("lock_due_pushed"), names)
                    if letter is None:
                        return None
                    error = await self._deliver(publisher, letter)
                    await self._settle(connection, letter, error)
                    return error is None

    async def _deliver(self, publisher: EventPublisher, letter: asyncpg.Record) -> Exception | None:
        event_type = self._types.find(letter["event_type"])
        if event_type is None:
            return EventTypeError(f"Event type {letter['event_type']!r} is not registered.")
        try:
            event = event_type.decode(_record_of(letter))
        except EventDecodingError as error:
            return error
        return await publisher.deliver_to(letter["projection"], event)

    async def _settle(
        self, connection: RawConnection, letter: asyncpg.Record, error: Exception | None
    ) -> None:
        """Close a dead letter, or keep it open with those that wait behind it."""
        if error is None:
            await connection.execute(sql("resolve_letter"), letter["id"], "retried", None)
            return
        described = describe_error(error, self._redact)
        attempts = letter["attempts"] + 1
        await connection.execute(
            sql("fail_pushed"), letter["id"], *described, attempts, categorize(error)
        )
        place = (letter["projection"], letter["stream"], letter["id"])
        await connection.execute(sql("hold_pushed_behind"), *place)

    def _name_stream(self, event: object) -> str:
        name = type(event).__name__
        try:
            return self._find_stream(event)
        # The edge to user code: an event without a known stream needs its dead letter all the same.
        except Exception:
            logger.warning(
                "`find_stream` failed for event %s; its failures are kept under that name",
                name,
                exc_info=True,
                extra={"event": "sidecar.letters.unnamed", "event_type": name},
            )
            return name

    def _encode(self, event: object) -> tuple[str, int, str | None]:
        try:
            return self._types.encode(event)
        except EventTypeError as error:
            unfit = error
        # What can be written is kept: a corrected class may read it.
        try:
            kept = self._types.write(event)
        except EventTypeError:
            return self._types.name_of(event), 1, None
        logger.warning(
            "The dead letter of event %s cannot be retried until its class is mended: %s",
            kept[0],
            unfit,
            extra={"event": "sidecar.letters.unreadable", "event_type": kept[0]},
        )
        return kept


def _record_of(letter: asyncpg.Record) -> RecordedEvent:
    return RecordedEvent(
        position=0,
        stream=letter["stream"],
        version=0,
        raw_id=letter["raw_event_id"],
        type=letter["event_type"],
        schema_version=letter["schema_version"],
        data=letter["event"],
        metadata=None,
        recorded_unix=letter["first_failed_unix"],
    )
