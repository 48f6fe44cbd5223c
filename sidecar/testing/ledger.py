"""Checkpoints and dead letters in memory, for a log that is in memory as well. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.dead_letter import Category, DeadLetter
from sidecar.projections.ports import OpenDeadLetter
from sidecar.projections.projection import Partition


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that failed and is not resolved.

    Attributes:
        record: The event it stands for; its stream waits behind it.
        is_due: Whether it is to be tried again.
    """

    id: int
    record: RecordedEvent
    category: Category
    error_type: str
    error_message: str
    attempts: int
    is_due: bool

    @property
    def open(self) -> OpenDeadLetter:
        """The same as a retry takes it."""
        record = self.record
        place = (record.stream, record.position, record.version)
        is_waiting = self.category is Category.RETRY
        return OpenDeadLetter(self.id, *place, self.attempts, is_waiting, self.error_type)


@dataclass(slots=True)
class Ledger:
    """Where partitions stand and which events failed; a transaction works on a copy of it."""

    positions: dict[Partition, int] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    kept: int = 0

    def copy(self) -> "Ledger":
        """Return another one that stands alike."""
        return Ledger(dict(self.positions), dict(self.entries), self.kept)

    def parked(self) -> frozenset[str]:
        """Return the streams that wait."""
        return frozenset(entry.record.stream for entry in self.entries.values())

    def due(self, log: "Log", partition: Partition) -> Iterator[Entry]:
        """Yield those of a partition that are to be tried again."""
        entries = self.entries.values()
        return (each for each in entries if each.is_due and log.is_of(partition, each.record))

    def keep(self, letter: DeadLetter, *, is_due: bool) -> None:
        """Keep an event that failed."""
        self.kept += 1
        self._put(self.kept, letter, is_due=is_due)

    def fail_again(self, number: int, letter: DeadLetter, *, is_due: bool) -> None:
        """Keep a resolved one open, for the event that failed now."""
        self._put(number, letter, is_due=is_due)

    def _put(self, number: int, letter: DeadLetter, *, is_due: bool) -> None:
        failure = (letter.category, letter.error_type, letter.error_message, letter.attempts)
        self.entries[number] = Entry(number, letter.record, *failure, is_due)

    def advance(self, number: int, record: RecordedEvent) -> None:
        """Let one stand for a later event of its stream."""
        self.entries[number] = replace(self.entries[number], record=record, attempts=0)

    def ask_retry(self, positions: Iterable[int]) -> None:
        """Let those that stand for these events be tried again."""
        wanted = set(positions)
        for number, entry in self.entries.items():
            if entry.record.position in wanted:
                self.entries[number] = replace(entry, is_due=True)


class Log:
    """Events in the order of their positions, from 1, and to which partition each belongs."""

    def __init__(self, records: Sequence[RecordedEvent], parts: dict[str, int]) -> None:
        self.records: Final = records
        self._parts: Final = parts

    @property
    def head(self) -> int:
        """The last position."""
        return len(self.records)

    def page(self, partition: Partition, after: int, upto: int) -> list[RecordedEvent]:
        """Return what lies in (after, upto] for a partition."""
        return [record for record in self.records[after:upto] if self.is_of(partition, record)]

    def stream(self, stream: str, from_version: int, upto: int) -> list[RecordedEvent]:
        """Return a stream's events from a version on, up to a position."""
        known = self.records[:upto]
        return [r for r in known if r.stream == stream and r.version >= from_version]

    def is_of(self, partition: Partition, record: RecordedEvent) -> bool:
        """Return True for an event of a partition."""
        return self._parts[record.stream] == partition.index
