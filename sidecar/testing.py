"""What a service's own tests need: a store in memory, old event shapes, checks asked once."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sidecar.errors import ConcurrencyError, EventDecodingError
from sidecar.events.append_arguments import require_arguments, write_metadata
from sidecar.events.record import ANY, RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.health.check import Check
from sidecar.health.inquiry import Inquiry
from sidecar.health.outcome import CheckResult
from sidecar.postgres.store import PAGE_EVENTS, Appended

_SAMPLE_PATTERN: Final = "*.v*.json"


class InMemoryEventStore:
    """Behaves as `EventStore` does, without a server; nothing survives the object.

    Args:
        types: The event types that the service writes and reads.
    """

    def __init__(self, types: EventTypes) -> None:
        self._types = types
        self._log: list[RecordedEvent] = []

    async def append(
        self,
        stream: str,
        events: Sequence[object],
        *,
        expected_version: int | None = ANY,
        metadata: Mapping[str, object] | None = None,
        connection: object | None = None,  # noqa: ARG002 - so that one function serves both stores
    ) -> Appended:
        """Append events to a stream, all or none.

        Args:
            stream: Name of the stream, such as `order-4711`.
            events: Registered event objects, in order.
            expected_version: `ANY`, `NO_STREAM`, or the version last read.
            metadata: Kept with each event.
            connection: Anything; here the events stand at once, and no rollback undoes them.

        Raises:
            ConcurrencyError: The stream is at another version.
            EventTypeError: An event's class is not registered.
            UsageError: The metadata has no JSON form.
            ValueError: There are no events, or the stream has no name that can be kept.
        """
        require_arguments(stream, events, metadata)
        encoded = [self._types.encode(event) for event in events]
        version = sum(record.stream == stream for record in self._log)
        if expected_version is not ANY and expected_version != version:
            raise ConcurrencyError(stream, expected_version, version)
        headers = write_metadata(metadata)
        for offset, (name, schema_version, data) in enumerate(encoded, 1):
            self._log.append(
                RecordedEvent(
                    position=len(self._log) + 1,
                    stream=stream,
                    version=version + offset,
                    raw_id=uuid.uuid4().bytes,
                    type=name,
                    schema_version=schema_version,
                    data=data,
                    metadata=headers,
                    recorded_unix=time.time(),
                )
            )
        return Appended(version + len(events), len(self._log))

    async def read_stream(
        self, stream: str, *, after_version: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return a stream's events above a version, ascending by version, at most `limit`."""
        found = (r for r in self._log if r.stream == stream and r.version > after_version)
        return list(found)[:limit]

    async def read(
        self, *, after_position: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        """Return the log above a position, ascending by position, at most `limit`."""
        return self._log[after_position : after_position + limit]

    async def read_all(self, *, page_events: int = PAGE_EVENTS) -> AsyncIterator[RecordedEvent]:
        """Yield the whole log, ascending by position, reading it in pages."""
        position = 0
        while page := await self.read(after_position=position, limit=page_events):
            for record in page:
                yield record
            position = page[-1].position

    def decode(self, record: RecordedEvent) -> object:
        """Make the event object of a record whose type is registered.

        Raises:
            EventDecodingError: The record does not fit its type.
            KeyError: The type is not registered.
        """
        return self._types.decode(record)


async def ask(check: Check) -> CheckResult:
    """Ask a check once, as the monitor does.

    A check that raises, hangs or returns rubbish is an answer too, with the reason that callers of
    `/ready` would be shown: `<name>.error`, `<name>.timeout` or `<name>.invalid`.

    Example:
        assert await ask(checks["payments"]) == failed("payments.unreachable")
    """
    return await Inquiry(check).ask()


def check_samples(types: EventTypes, directory: Path) -> None:
    """Read a stored sample of every schema version of every type with today's code.

    Samples are files named `<type>.v<schema version>.json` that hold the event's data as it was
    stored then. Write one whenever a schema version is left behind.

    Raises:
        AssertionError: Samples that cannot be read, and old versions without a sample, each named.
    """
    if not directory.is_dir():
        raise AssertionError(f"{directory} is no directory")
    faults = []
    missing = {(name, version) for name, newest in types.versions() for version in range(1, newest)}
    for path in sorted(directory.glob(_SAMPLE_PATTERN)):
        name, _, version = path.name.removesuffix(".json").rpartition(".v")
        if not version.isdecimal():
            faults.append(f"{path.name}: its name says no schema version")
            continue
        missing.discard((name, int(version)))
        if fault := _find_fault(types, name, int(version), path):
            faults.append(f"{path.name}: {fault}")
    faults += [f"{name}.v{version}.json is missing" for name, version in sorted(missing)]
    if faults:
        raise AssertionError("\n".join(faults))


def _find_fault(types: EventTypes, name: str, version: int, path: Path) -> str | None:
    """Say why a sample cannot be read, if it cannot."""
    event_type = types.find(name)
    if event_type is None:
        return f"event type {name!r} is not registered"
    try:
        event_type.decode(_sample_record(name, version, path.read_text("utf-8")))
    except (EventDecodingError, UnicodeDecodeError) as error:
        return str(error)
    return None


def _sample_record(name: str, version: int, data: str) -> RecordedEvent:
    return RecordedEvent(1, "sample", 1, bytes(16), name, version, data, None, time.time())
