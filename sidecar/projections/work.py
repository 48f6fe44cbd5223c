"""What the runner needs of a database, stated as Protocols."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.projections.letter import Letter
from sidecar.projections.projection import Partition


class State(StrEnum):
    """What people want of a projection; kept with its checkpoint."""

    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A projection's stored position: all events up to it took effect or are dead letters."""

    position: int
    state: State


class Work(Protocol):
    """One open transaction of one partition: read model, dead letters and checkpoint together."""

    @property
    def connection(self) -> Connection:
        """What the handler writes through."""

    @property
    def has_parked(self) -> bool:
        """Whether the projection has any unresolved dead letter."""

    async def parked_among(self, streams: Iterable[str]) -> frozenset[str]:
        """Return those of the streams that are parked."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Open a savepoint; an error rolls back to it and passes."""

    async def flush(self) -> None:
        """Send deferred writes."""

    async def park(self, letter: Letter) -> None:
        """Keep a dead letter."""

    async def move(self, position: int) -> None:
        """Move the checkpoint.

        Raises:
            CheckpointMovedError: It is no longer where this transaction began.
        """


class Desk(Protocol):
    """Where a partition's loop reads events and opens its transactions."""

    async def read_checkpoint(self, partition: Partition) -> Checkpoint:
        """Return where the partition stands."""

    async def read_page(
        self, partition: Partition, after_position: int, upto_position: int
    ) -> list[RecordedEvent]:
        """Return its next events, ascending by position, bounded in count and bytes.

        Empty only when there is none up to and including `upto_position`.
        """

    def begin(
        self, partition: Partition, position: int, *, eager: bool
    ) -> AbstractAsyncContextManager[Work]:
        """Open a transaction at the checkpoint; commit on a clean exit, else roll back.

        Raises:
            CheckpointMovedError: The checkpoint is elsewhere: another owner took over.
            ProjectionPausedError: Somebody paused the projection.
            StoreUnavailableError: The session ended; whether the commit took place is found out by
                reading the checkpoint again.
        """

    def is_transient(self, error: BaseException) -> bool:
        """Tell whether the same work can succeed later with nobody's help."""
