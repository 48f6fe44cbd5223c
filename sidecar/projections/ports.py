"""What the runner needs of a database, stated as Protocols."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sidecar.events.record import RecordedEvent
from sidecar.projections.comparison import Report
from sidecar.projections.dead_letter import DeadLetter
from sidecar.projections.lent_connection import LentConnection
from sidecar.projections.preview import Pair
from sidecar.projections.projection import Partition


class State(StrEnum):
    """What people want of a projection; kept with its checkpoint."""

    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A projection's stored position: all events up to it took effect or are dead letters.

    Attributes:
        discarded: Positions above it whose events were given up by a person, and stay so when the
            log is applied anew.
        declared: Stored names of the types that any release of the projection handles.
    """

    position: int
    state: State
    discarded: frozenset[int] = frozenset()
    declared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Span:
    """What is wanted of a part of the log.

    Attributes:
        records: Ascending by position.
        upto: Up to here there is nothing else.
    """

    records: list[RecordedEvent]
    upto: int


@dataclass(frozen=True, slots=True)
class OpenDeadLetter:
    """An unresolved dead letter, or an event that waits for its next try.

    Attributes:
        position: That of the event it stands for.
        version: The same event's in its stream.
        is_waiting: Whether it is not dead yet.
        error_type: Of what it failed with last.
    """

    id: int
    stream: str
    position: int
    version: int
    attempts: int
    is_waiting: bool
    error_type: str = ""


class Transaction(Protocol):
    """One open transaction of one partition: read model, dead letters and checkpoint together."""

    @property
    def is_spoilt(self) -> bool:
        """Whether nothing more can be done in this transaction, by a handler's doing."""

    @property
    def connection(self) -> LentConnection:
        """What handlers write through."""

    async def parked_among(self, streams: Iterable[str]) -> frozenset[str]:
        """Return those of the streams that are parked; costs nothing while none is."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Open a savepoint; an error rolls back to it, or else spoils everything, and passes."""

    async def park(self, letter: DeadLetter, retry_after_seconds: float | None) -> None:
        """Keep a dead letter, to be tried again after a while or, with None, when asked."""

    async def count_unknown(self) -> int:
        """Return how many streams wait for a release that handles a type."""

    async def take_due_dead_letter(self) -> OpenDeadLetter | None:
        """Lock the dead letter of this partition that has been due longest."""

    async def queued_events(
        self, stream: str, from_version: int, upto_position: int, limit: int
    ) -> list[RecordedEvent]:
        """Return the events of a parked stream from a version on, ascending by version.

        Bounded in bytes as well; empty only when there is none up to the position.
        """

    async def events_left(
        self, letter: OpenDeadLetter, upto_position: int, limit: int
    ) -> list[RecordedEvent]:
        """Return what its stream has above the event of a dead letter that was erased.

        A stream whose end was erased goes on with versions that it had before.
        """

    async def resolve(self, letter: OpenDeadLetter, *, is_erased: bool = False) -> None:
        """Close a dead letter: its stream is no longer parked, or its event not in the log."""

    async def advance(self, letter: OpenDeadLetter, record: RecordedEvent) -> None:
        """Let a dead letter stand for a later event of its stream, still due."""

    async def fail_again(
        self, letter: OpenDeadLetter, failure: DeadLetter, retry_after_seconds: float | None
    ) -> None:
        """Keep a dead letter open for the event that failed now."""

    async def settle_waiting(
        self, stream: str, taken_up: Sequence[RecordedEvent], left_out: Sequence[RecordedEvent]
    ) -> None:
        """Keep which events of a stream a retry took up, and which its release does not handle."""

    async def move(self, position: int) -> None:
        """Move the checkpoint.

        Raises:
            CheckpointMovedError: It is no longer where this transaction began.
            TransactionEndError: A handler ended that transaction.
            ValueError: `position` is below that.
        """


class EventSource(Protocol):
    """Where a partition's loop reads events."""

    async def read_page(
        self,
        partition: Partition,
        after_position: int,
        upto_position: int,
        types: Sequence[str] | None,
    ) -> Span:
        """Return its next events of these types, or of all, bounded in count and bytes.

        Also bounded in how far it looks: it may hold none though there are some further on.
        """


@dataclass(frozen=True, slots=True)
class PreviewVerdict:
    """What is known of a swap before it.

    Attributes:
        report: What it changes; None while the copies were not compared.
        is_approved: Whether a person agreed that rows go.
    """

    report: Report | None = None
    is_approved: bool = False


class CopyComparison(Transaction, Protocol):
    """One look at a new copy and the live one in one snapshot; all that is written is rolled back.

    Attributes:
        pairs: How both stand, by partition.
    """

    pairs: Sequence[Pair]

    async def missing_events(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Return what the live copy has passed and the new one has not, above a position."""

    async def compare_next(self) -> None:
        """Compare the part of a table that is next."""


class Preview(Protocol):
    """A comparison of a new copy with the live one, from its first part to the last."""

    @property
    def is_over(self) -> bool:
        """Whether all was compared."""

    def compare(self, position: int) -> AbstractAsyncContextManager[CopyComparison | None]:
        """Look at both copies; None when the new one moved at that moment.

        Raises:
            CheckpointGoneError: The rebuild is over.
            CheckpointMovedError: The partition that compares is not at this position.
            ProjectionError: A table is not what it was when the rebuild began.
        """

    async def judge(self) -> Report:
        """Keep what was found, and return it.

        Raises:
            CheckpointGoneError: The rebuild is over.
        """


class ProjectionStore(EventSource, Protocol):
    """Where a partition's loop reads events, and where read models and checkpoints are kept."""

    async def read_checkpoint(self, partition: Partition) -> Checkpoint:
        """Return where the partition stands.

        Raises:
            CheckpointGoneError: It has no row.
        """

    async def end_failure(self, partition: Partition) -> None:
        """Let a live copy run whose setup failed in another worker."""

    async def stand_still(self, partition: Partition, reason: str, error_type: str) -> None:
        """Mark a running live copy as failed; dead letters of this error are due after it."""

    async def go_on(self, partition: Partition) -> None:
        """Let a live copy run again that stood still."""

    async def list_missing_grants(self, tables: Sequence[str]) -> Sequence[str]:
        """Return the statements that give the role the rights to tables that it lacks."""

    def begin(
        self,
        partition: Partition,
        position: int,
        *,
        eager: bool,
        repeatable: bool,
        halted: bool = False,
    ) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction at the position of the checkpoint; commit on a clean exit.

        It is `eager` when each write is sent at once, and `repeatable` when all that is done for an
        event is in it, so that it may be lost in a crash of the server together with its checkpoint
        and done again. An owner that keeps its partition marked as failed, and looks whether it can
        go on, says `halted`.

        Raises:
            CheckpointGoneError: It has no row.
            CheckpointMovedError: The checkpoint is elsewhere: another owner took over; or since it
                was read an event ahead was discarded, or a release declared or retired a type.
            ProjectionPausedError: The projection was paused.
            StoreUnavailableError: The session ended; whether the commit took place is found out by
                reading the checkpoint again.
        """

    async def has_due_dead_letters(self, partition: Partition, position: int) -> bool:
        """Return True when a dead letter of the projection is due for a retry.

        An idle loop asks nothing else, so it learns here as well what became of its checkpoint.

        Raises:
            CheckpointGoneError: It has no row.
            CheckpointMovedError: It is elsewhere, set back by a replay or a swap for instance.
            ProjectionPausedError: The projection was paused.
        """

    async def halt(self, partition: Partition, reason: str) -> None:
        """Stop a rebuild until a person resumes it; the live copy goes on."""

    async def count_discarded(self, projection: str) -> int:
        """Return how many events people gave up, which a rebuild passes over."""

    async def read_preview(self, projection: str) -> PreviewVerdict:
        """Return what is known of the swap of its new copy."""

    async def open_preview(self, partition: Partition) -> Preview:
        """Begin to compare its new copy with the live one.

        Raises:
            ProjectionError: The tables are not those that the rebuild was begun with.
        """

    async def holds_copy(self, partition: Partition) -> bool:
        """Return True while a new copy is compared, and need not catch up."""

    async def swap(self, projection: str) -> bool:
        """Swap the rebuilt copy in; False when that has to be tried again.

        It was compared with the live one before, and approved where rows go.

        Raises:
            ProjectionError: That can never be done.
        """

    def is_transient(self, error: BaseException) -> bool:
        """Return True when the same work can succeed later without any change."""
