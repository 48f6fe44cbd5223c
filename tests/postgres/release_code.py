"""Releases of a service's code, and what has to be so after they ran.

The oracle knows nothing of how the sidecar remembers what: it sees the log, the read model, what
the status tells, and which releases ran.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes

NAME: Final = "seen"


class Seen:
    """Writes down what it is called for, once: a second time is an error."""

    tables = ("seen",)

    def __init__(self, name: str, handles: Iterable[type], partitions: int) -> None:
        self.name: Final = name
        self.handles: Final = tuple(handles)
        self.partitions: Final = partitions

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS seen (position bigint PRIMARY KEY, "
            "line bigint GENERATED ALWAYS AS IDENTITY)"
        )

    async def handle(self, _event: object, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute("INSERT INTO seen (position) VALUES ($1)", record.position)


@dataclass(frozen=True)
class Code:
    """One release of the service's code.

    Attributes:
        known: Types by what they are about.
        handled: Those of them that the projection handles; None for all that are known.
        renamed: Those of them that are stored under a new name, and read under both.
        retired: Those that are gone for good.
        newer: Those that are written in their second schema version, and read in both.
        name: What it calls the projection.
    """

    known: tuple[str, ...]
    handled: tuple[str, ...] | None
    renamed: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    partitions: int = 1
    newer: frozenset[str] = frozenset()
    name: str = NAME

    def stored(self, about: str) -> tuple[str, ...]:
        """Return the names under which it reads events of a type, the one that it writes last."""
        return (about, f"{about}New") if about in self.renamed else (about,)

    def version(self, about: str) -> int:
        """Return the schema version in which it writes events of a type."""
        return 2 if about in self.newer else 1

    def handled_names(self) -> frozenset[str]:
        """Return the names of what the projection handles."""
        handled = self.known if self.handled is None else self.handled
        return frozenset(name for about in handled for name in self.stored(about))

    def publisher(self) -> EventPublisher:
        """Make what the module of the service would hold."""
        types = EventTypes()
        classes = {}
        for about in self.known:
            name, version = self.stored(about)[-1], self.version(about)
            made = msgspec.defstruct(about, [], frozen=True)
            classes[about] = types.register(name=name, version=version)(made)
            if version > 1:
                types.upcast(name, from_version=1)(dict)
            if name != about:
                types.rename(about, name)
        for about in self.retired:
            types.retire(about)
        publisher = EventPublisher(types)
        handled = () if self.handled is None else [classes[about] for about in self.handled]
        publisher.add_projection(Seen(self.name, handled, self.partitions))
        return publisher


@dataclass
class Oracle:
    """What has to be so, from the releases that ran and what people decided.

    Attributes:
        declared: Types that a release handles which ran, and that nobody has retired since.
        retired: Those that somebody has.
        accepted: Positions of events that people went on without, or may have.
    """

    declared: set[str] = field(default_factory=set)
    retired: set[str] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)

    def started(self, code: Code, name: str) -> None:
        """Record that a worker of a release starts, where the projection has a name."""
        if code.name != name:
            return
        self.retire(code.retired & self.declared)
        self.declared |= code.handled_names()
        self.retired -= code.handled_names()

    def written(self, code: Code) -> None:
        """Record that a writer of a release, which has its projections, begins."""
        self.declared |= code.handled_names() - self.retired

    def retire(self, names: Iterable[str]) -> None:
        """Record that nobody wants these types any more."""
        self.declared.difference_update(names)
        self.retired.update(names)
