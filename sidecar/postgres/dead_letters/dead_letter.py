"""Dead letters as people handle them: list, show, ask for a retry, discard."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final

import asyncpg

from sidecar.errors import UsageError
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.lease import key_of, list_held
from sidecar.postgres.query import sql
from sidecar.projections.dead_letter import Category
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition

LIST_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Selects dead letters, in the order of the statement; None means any.

    Attributes:
        older_than_seconds: Since the first failure.
        open_only: Leave out resolved ones.
    """

    projection: str | None = None
    stream: str | None = None
    error_type: str | None = None
    older_than_seconds: float | None = None
    open_only: bool = True


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """One dead letter without its event; times are aware wall times."""

    id: int
    projection: str
    stream: str
    position: int | None
    version: int
    event_type: str
    category: str
    error_type: str
    attempts: int
    first_failed_at: dt.datetime
    last_failed_at: dt.datetime
    retry_at: dt.datetime | None
    resolution: str | None
    reason: str | None
    resolved_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetterDetail(DeadLetterRow):
    """One dead letter with its event and its error.

    Attributes:
        data: The event's JSON text as stored.
        queued: How many later events of the stream wait behind it.
        is_erased: Whether its event was erased from the log; nothing of it is shown then.
    """

    event_id: uuid.UUID
    error_message: str
    traceback: str
    trace_id: str | None
    data: str | None
    metadata: str | None
    queued: int
    is_erased: bool = False


async def list_dead_letters(
    connection: RawConnection, which: DeadLetterFilter, *, limit: int = LIST_LIMIT
) -> list[DeadLetterRow]:
    """Return dead letters, the oldest failure first."""
    rows = await connection.fetch(sql("list_dead_letters"), *astuple(which), limit)
    return [DeadLetterRow(*row) for row in rows]


async def show_dead_letter(connection: RawConnection, letter_id: int) -> DeadLetterDetail:
    """Return one dead letter.

    Raises:
        UsageError: There is none with that id.
    """
    row = await connection.fetchrow(sql("show_dead_letter"), letter_id)
    if row is None:
        raise UsageError(f"There is no dead letter {letter_id}; see `sidecar dead-letters list`.")
    if row["category"] == Category.RETRY:
        raise UsageError(
            f"{letter_id} is no dead letter: its event failed and waits for its next try. It "
            "becomes one, and is listed, when it has been tried often enough."
        )
    return DeadLetterDetail(**dict(row))


async def request_retry(
    connection: RawConnection,
    *,
    letter_id: int | None = None,
    projection: str | None = None,
    stream: str | None = None,
) -> list[int]:
    """Make open dead letters due, so that workers retry them; return their ids.

    None stands for any. The projection's code runs in its worker, in order, under its lease.

    Raises:
        UsageError: There is no open dead letter with that id, or its event was not kept.
    """
    rows = await connection.fetch(sql("request_retry"), letter_id, projection, stream)
    if not rows and letter_id is not None:
        await _require_retriable(connection, letter_id)
    return sorted(row["id"] for row in rows)


async def count_open(connection: RawConnection, letters: Sequence[int]) -> tuple[int, int]:
    """Return how many of the dead letters are open, and how many of those failed again."""
    [row] = await connection.fetch(sql("count_letters"), list(letters))
    return row["open"], row["failed"]


async def count_discarded(connection: RawConnection, projection: str) -> int:
    """Return how many events of the log were discarded for a projection."""
    return int(await connection.fetchval(sql("count_discarded"), projection))


async def list_logged(connection: RawConnection, letters: Sequence[int]) -> list[int]:
    """Return those that workers retry; the others are retried by the application that published."""
    rows = await connection.fetch(sql("list_logged_letters"), list(letters))
    return [row["id"] for row in rows]


async def list_paused(connection: RawConnection, letters: Sequence[int]) -> list[str]:
    """Return the names of paused projections with dead letters that are due."""
    rows = await connection.fetch(sql("list_projections_of_letters"), list(letters))
    return sorted({row["projection"] for row in rows if row["state"] == State.PAUSED})


async def list_unowned(connection: RawConnection, letters: Sequence[int]) -> list[str]:
    """Return the names of projections that no worker runs, with dead letters that are due."""
    rows = await connection.fetch(sql("list_projections_of_letters"), list(letters))
    held = await list_held(connection)
    partitions = [Partition(r["projection"], r["partition"], r["partitions"]) for r in rows]
    return sorted({p.projection for p in partitions if key_of(p) not in held})


async def discard(connection: RawConnection, letter_id: int, reason: str) -> None:
    """Give an event up and keep the reason; events queued behind it are applied again.

    Raises:
        UsageError: There is no open dead letter with that id, it stands for another event by now, a
            running rebuild has applied its event, or the reason is empty.
    """
    if not reason.strip():
        raise UsageError("Say why the event is given up: --reason TEXT. It is kept for the audit.")
    async with read_committed(connection):
        found = await _find_open(connection, letter_id)
        # The loop holds the checkpoint while it applies a batch. Locked here in the same order as
        # there, so that no event of the stream falls between the queue and the loop.
        place = (found.projection, found.stream)
        position = await connection.fetchval(sql("lock_checkpoint_of_stream"), *place)
        rebuilt_upto = await connection.fetchval(sql("lock_rebuild_of_stream"), *place)
        row = await connection.fetchrow(sql("lock_letter"), letter_id)
        letter = _require_discardable(row, found, rebuilt_upto)
        await connection.execute(sql("resolve_letter"), letter_id, "discarded", reason.strip())
        if letter["position"] is None:
            return
        following = await connection.fetchrow(
            sql("read_next_queued"), letter["stream"], letter["version"], position or 0
        )
        if following is not None:
            await connection.execute(sql("queue_behind_discarded"), *place, *following)


def _require_discardable(
    row: asyncpg.Record | None, found: DeadLetterDetail, rebuilt_upto: int | None
) -> asyncpg.Record:
    """Return the locked row if it is still what was found, and no rebuild has applied its event."""
    if row is None or row["resolution"] is not None:
        raise UsageError(f"Dead letter {found.id} was resolved just now.")
    if row["version"] != found.version:
        raise UsageError(
            f"Dead letter {found.id} now stands for another event of its stream (version "
            f"{row['version']}); look at it again before you give it up."
        )
    position = row["position"]
    if position is not None and rebuilt_upto is not None and rebuilt_upto >= position:
        raise UsageError(
            f"A rebuild of {found.projection} under way has applied the event of dead letter "
            f"{found.id}, and closes it when it is done. To give the event up all the same, "
            f"first drop it: `sidecar projections rebuild {found.projection} --cancel`."
        )
    return row


async def _require_retriable(connection: RawConnection, letter_id: int) -> None:
    letter = await _find_open(connection, letter_id)
    if letter.category == Category.UNKNOWN_TYPE:
        raise UsageError(
            f"Dead letter {letter_id} waits for a release that handles {letter.event_type}; a "
            "worker of it takes it up by itself. If nobody wants that type any more: `sidecar "
            f"projections accept {letter.projection} --retire {letter.event_type} --reason TEXT`."
        )
    if letter.position is None and letter.data is None:
        raise UsageError(
            f"Dead letter {letter_id} was published in process without a registered type or a JSON "
            "form, so its event was not kept and cannot be tried again; "
            "`sidecar dead-letters discard` ends it."
        )


async def _find_open(connection: RawConnection, letter_id: int) -> DeadLetterDetail:
    letter = await show_dead_letter(connection, letter_id)
    if letter.resolution is not None:
        raise UsageError(f"Dead letter {letter_id} was {letter.resolution} already.")
    return letter
