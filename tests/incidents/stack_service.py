"""The service behind the stack's tests: each projection goes wrong in one way, as tables say."""

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from tests.incidents.service import CannotBookError, Paid, Sums, types


class Totals(Sums):
    """Applies everything."""

    name = "totals"
    table = "totals"


class Fragile(Sums):
    """Fails on what is marked as poison, and on all while it is broken, until that is cured."""

    name = "fragile"
    table = "fragile"
    tables = ("fragile",)

    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS broken (all_of_them boolean)")

    async def handle(self, event: Paid, connection: Connection) -> None:
        broken = await connection.fetchval("SELECT bool_or(all_of_them) FROM broken")
        if broken or (broken is not None and event.memo == "poison"):
            raise CannotBookError(f"cannot book for {event.account}")
        await super().handle(event, connection)


class Patient(Sums):
    """Waits for as long as somebody locks its table."""

    name = "patient"
    table = "patient"


publisher = EventPublisher(types)
publisher.add_projection(Totals())
publisher.add_projection(Fragile())
publisher.add_projection(Patient())
