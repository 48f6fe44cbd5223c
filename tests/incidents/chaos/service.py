"""Projections that note every effect, so that an event lost, doubled or out of order shows."""

from typing import Final

from typing_extensions import override

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from tests.incidents.service import CannotBookError, Paid, types

POISON: Final = "poison"
DOZEN: Final = tuple(f"part_{number:02}" for number in range(12))


class Book:
    """Keeps sums by account, and one line per event in the order of its effect."""

    handles = (Paid,)

    def __init__(self, name: str, *, partitions: int = 1, eager: bool = False) -> None:
        self.name: Final = name
        self.tables: Final = (name, f"{name}_lines")
        self.partitions: Final = partitions
        self.eager: Final = eager

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} (account text PRIMARY KEY,"
            " cents bigint NOT NULL, events bigint NOT NULL)"
        )
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name}_lines"
            " (line bigserial PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL)"
        )

    async def handle(self, event: Paid, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute(
            f"INSERT INTO {self.name} AS book VALUES ($1, $2, 1) ON CONFLICT (account)"
            " DO UPDATE SET cents = book.cents + excluded.cents, events = book.events + 1",
            event.account,
            event.cents,
        )
        await connection.execute(
            f"INSERT INTO {self.name}_lines (stream, version) VALUES ($1, $2)",
            record.stream,
            record.version,
        )


class FragileBook(Book):
    """Fails on poison for as long as its account is not in the table `cured`."""

    @override
    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS cured (account text PRIMARY KEY)")

    @override
    async def handle(self, event: Paid, connection: Connection, record: RecordedEvent) -> None:
        cure = "SELECT EXISTS (SELECT FROM cured WHERE account = $1)"
        if event.memo == POISON and not await connection.fetchval(cure, event.account):
            raise CannotBookError(f"cannot book for {event.account}")
        await super().handle(event, connection, record)


BOOKS: Final = (Book("plain"), Book("eager", eager=True), Book("shared", partitions=3))
FRAGILE: Final = FragileBook("fragile")


def publish_to(*projections: object) -> EventPublisher:
    publisher = EventPublisher(types)
    for projection in projections:
        publisher.add_projection(projection)
    return publisher


def dozen() -> EventPublisher:
    """Return a publisher of twelve projections."""
    return publish_to(*map(Book, DOZEN))


def fragile() -> EventPublisher:
    """Return a publisher of all kinds of books, one of which fails on poison."""
    return publish_to(*BOOKS, FRAGILE)


publisher = publish_to(*BOOKS)
