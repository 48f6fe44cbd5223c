"""For the tests of a service: a store in memory, samples, a check asked once, a projection checked.

Nothing here loads a driver, but `check_projection` once it is called.
"""

import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from sidecar.errors import ConcurrencyError, EventDecodingError, ReadModelLateError
from sidecar.events.append_arguments import (
    require_arguments,
    require_same,
    write_ids,
    write_metadata,
)
from sidecar.events.event_id import make_ids
from sidecar.events.event_log import PAGE_EVENTS, Appended, EventLog
from sidecar.events.record import ANY, RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.health.check import Check
from sidecar.health.check_runner import CheckRunner
from sidecar.health.outcome import CheckResult

if TYPE_CHECKING:
    from sidecar.postgres.pools.pool import MeteredPool
    from sidecar.testing.projection_check import CheckedProjection

_SAMPLE_PATTERN: Final = "*.v*.json"


class InMemoryEventStore(EventLog):
    """Behaves as `EventStore` does, without a server; nothing survives the object."""

    def __init__(self, types: EventTypes) -> None:
        self._types = types
        self._log: list[RecordedEvent] = []

    @override
    async def append(
        self,
        stream: str,
        events: Sequence[object],
        *,
        expected_version: int | None = ANY,
        metadata: Mapping[str, object] | None = None,
        event_ids: Sequence[uuid.UUID] | None = None,
        connection: object | None = None,
    ) -> Appended:
        """Append events to a stream, all or none, as `EventLog.append` says.

        `connection` can be anything: the events stand at once, and no rollback undoes them.
        """
        require_arguments(stream, events, metadata, expected_version)
        encoded = [self._types.encode(event) for event in events]
        ids = write_ids(events, event_ids)
        if ids is not None and (before := self._find(stream, ids)):
            return before
        version = sum(record.stream == stream for record in self._log)
        if expected_version is not ANY and expected_version != version:
            raise ConcurrencyError(stream, expected_version, version)
        headers = write_metadata(metadata)
        drawn = ids or make_ids(len(events))
        for offset, (name, schema_version, data) in enumerate(encoded, 1):
            self._log.append(
                RecordedEvent(
                    position=len(self._log) + 1,
                    stream=stream,
                    version=version + offset,
                    raw_id=bytes.fromhex(drawn[offset - 1]),
                    type=name,
                    schema_version=schema_version,
                    data=data,
                    metadata=headers,
                    recorded_unix=time.time(),
                )
            )
        return Appended(version + len(events), len(self._log))

    def _find(self, stream: str, ids: Sequence[str]) -> Appended | None:
        """Return where events of these ids went; None when there are none."""
        found = [record for record in self._log if record.raw_id.hex() in ids]
        require_same(stream, ids, [record.stream for record in found])
        return Appended(found[-1].version, found[-1].position) if found else None

    @override
    async def read_stream(
        self, stream: str, *, after_version: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        found = (r for r in self._log if r.stream == stream and r.version > after_version)
        return list(found)[:limit]

    @override
    async def read(
        self, *, after_position: int = 0, limit: int = PAGE_EVENTS
    ) -> list[RecordedEvent]:
        return self._log[after_position : after_position + limit]

    @override
    async def wait_until(
        self,
        position: int,
        projection: str,
        *,
        stream: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Return at once: no worker follows this log, so a test applies what it needs itself.

        Raises:
            ReadModelLateError: The log has no such position, and nobody could come to it.
        """
        if position > len(self._log):
            raise ReadModelLateError(
                f"{projection} has not come to {position}: the log ends at {len(self._log)}."
            )

    @override
    def decode(self, record: RecordedEvent) -> object:
        return self._types.decode(record)


async def ask(check: Check) -> CheckResult:
    """Ask a check once, as the monitor does.

    A check that raises, hangs or returns something else is a result too, with the reason that
    `/ready` would show: `<name>.error`, `<name>.timeout` or `<name>.invalid`.

    Example:
        assert await ask(checks["payments"]) == failed("payments.unreachable")
    """
    return await CheckRunner(check).ask()


async def check_projection(
    projection: object,
    events: Iterable[object],
    *,
    types: EventTypes | None = None,
    database: "str | MeteredPool | None" = None,
    ignore: Collection[str] = (),
) -> "CheckedProjection":
    """Play events through a projection in every way that happens to it; the rows must be the same.

    One by one, in batches and pages, with deferred writes and without, rebuilt, by a process that
    is new for each event, by partitions, and with each failure once: of a handler, of a commit, of
    the session, and of an event that becomes a dead letter and is retried. Read models are made in
    a schema of their own, which is dropped afterwards; the tables that are there stay as they are.

    Args:
        projection: An object as `EventPublisher.add_projection` takes it, with a handler that takes
            the connection. Each way gets a deep copy of it, where one can be made.
        events: In their order: each an event, `(stream, event)`, or a `RecordedEvent`, such as one
            of an older schema version, of which position and version are given anew.
        types: Those that they are registered in; without any, each class is, under its name.
        database: A DSN, or a pool that leads there: any PostgreSQL in which the role may make a
            schema. Without one, the server of the `embedded` extra is started, for all checks of
            the process.
        ignore: Columns of its tables and attributes of the object that may differ.

    Returns:
        The rows and the dead letters, to be compared with what the test expects.

    Raises:
        AssertionError: It differs, or does what cannot end the same: which way, table, key and
            columns, the first event, and what that means.
        ProjectionError: It cannot be checked: its handler takes no connection, or it has no tables.
        MissingRightsError: The role may make no schema.
        EmbeddedServerError: There is no server.

    Example:
        checked = await check_projection(Totals(), [("order-1", Placed(3)), ("order-1", Paid())])
        assert checked.rows["totals"] == [{"order": "order-1", "amount": 3, "paid": True}]
    """
    # It loads the driver.
    from sidecar.testing.projection_check import check  # noqa: PLC0415

    return await check(projection, events, types, database, ignore)


def check_samples(types: EventTypes, directory: Path) -> None:
    """Read a stored sample of every schema version of every type with today's code.

    Samples are files named `<type>.v<schema version>.json` that hold the event's data as it was
    stored then. Add one whenever a type gets a new schema version.

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
    """Describe why a sample cannot be read; None when it can."""
    event_type = types.find(name)
    if event_type is None:
        return f"event type {name!r} is not registered"
    try:
        data = path.read_text("utf-8")
        event_type.decode(
            RecordedEvent(1, "sample", 1, bytes(16), name, version, data, None, time.time())
        )
    except (EventDecodingError, UnicodeDecodeError) as error:
        return str(error)
    return None
