"""The log as a service uses it: one interface for the store in PostgreSQL and the one for tests."""

import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sidecar.events.record import ANY, RecordedEvent

# A worker applies a page in one transaction. Longer ones share the commit's wait for the disk among
# more events, and lose more by the versions of a row that an open transaction keeps: 1000 measured
# best.
PAGE_EVENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the events went: version and position of the last one."""

    version: int
    position: int


class EventLog(Protocol):
    """What `EventStore` and `InMemoryEventStore` both are.

    Let a service's functions take this, and their tests need no server.
    """

    @abstractmethod
    async def append(
        self,
        stream: str,
        events: Sequence[object],
        *,
        expected_version: int | None = ANY,
        metadata: Mapping[str, object] | None = None,
        event_ids: Sequence[uuid.UUID] | None = None,
        connection: Any = None,  # noqa: ANN401 - a connection of asyncpg, or whatever stands for one
    ) -> Appended:
        """Append events to a stream, all or none.

        Args:
            stream: Name of the stream, such as `order-4711`.
            events: Registered event objects, in order.
            expected_version: `ANY`, `NO_STREAM`, or the version last read.
            metadata: Kept with each event, for example `traceparent`.
            event_ids: The ids of the events, one for each, chosen by the writer and kept for a
                second try: events under ids that are there already are not appended again, and
                where they went is returned.
            connection: Joins the transaction that is open on it, where the log is in PostgreSQL.

        Raises:
            ConcurrencyError: The stream is at another version.
            EventTypeError: An event's class is not registered.
            UsageError: The metadata has no JSON form, the version is no number, or some of the ids
                are of other events.
            ValueError: There are no events, or the stream has no name that can be kept.
        """

    @abstractmethod
    async def read_stream(
        self, stream: str, *, after_version: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return a stream's events above a version, ascending by version, at most `limit`."""

    @abstractmethod
    async def read(
        self, *, after_position: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return the log above a position, ascending by position, at most `limit`."""

    async def read_all(self, *, page_events: int = PAGE_EVENTS) -> AsyncIterator[RecordedEvent]:
        """Yield the whole log, ascending by position, reading it in pages."""
        position = 0
        while page := await self.read(after_position=position, limit=page_events):
            for record in page:
                yield record
            position = page[-1].position

    @abstractmethod
    async def wait_until(
        self,
        position: int,
        projection: str,
        *,
        stream: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Return once a projection has applied the log up to a position.

        Args:
            position: That of the append: `(await store.append(...)).position`.
            projection: Its name.
            stream: The stream that was appended to.
            timeout_seconds: How long to wait at most.

        Raises:
            ReadModelLateError: It did not come in time; it may come later.
        """

    @abstractmethod
    def decode(self, record: RecordedEvent) -> object:
        """Make the event object of a record whose type is registered.

        Raises:
            EventDecodingError: The record does not fit its type.
            KeyError: The type is not registered.
        """
