"""Of writes that travel together the one that fails parks its event, and no other event."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from sidecar.events.subscriber import Connection
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage

BAD: Final = 3
INSERT: Final = "INSERT INTO {} (amount, note) VALUES ($1, $2)"

Write = Callable[[Connection, str, int], Awaitable[object]]


class Noting:
    """Writes each amount to its table, and one of them in a way that fails."""

    handles = (Placed,)

    def __init__(self, name: str, write_bad: Write, *, eager: bool) -> None:
        self.name: Final = name
        self.eager: Final = eager
        self._write_bad: Final = write_bad

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} "
            "(line serial, amount smallint UNIQUE CHECK (amount < 100), note text NOT NULL)"
        )

    async def handle(self, event: Placed, connection: Connection) -> None:
        insert = INSERT.format(self.name)
        if event.amount == BAD:
            await self._write_bad(connection, insert, event.amount)
        else:
            await connection.execute(insert, event.amount, "fine")


WRITES: Final[dict[str, Write]] = {
    "CheckViolationError": lambda c, insert, _: c.execute(insert, 100, "too much"),
    "UniqueViolationError": lambda c, insert, _: c.execute(insert, 1, "once more"),
    "NotNullViolationError": lambda c, insert, amount: c.execute(insert, amount, None),
    "DataError": lambda c, insert, amount: c.execute(insert, str(amount), "of another type"),
    "InterfaceError": lambda c, insert, amount: c.execute(insert, amount),
    "CharacterNotInRepertoireError": lambda c, insert, amount: c.execute(insert, amount, "\0"),
    "PostgresSyntaxError": lambda c, _, __: c.execute("INSERT INTO nothing"),
    "DivisionByZeroError": lambda c, _, amount: c.fetchval("SELECT 1 / ($1 - 3)", amount),
}


@pytest.mark.parametrize("error_type", WRITES)
async def test_it_is_found_among_others_deferred_and_sent_at_once(
    database: str, error_type: str
) -> None:
    write = WRITES[error_type]
    projections = (
        Noting("deferred", write, eager=False),
        Noting("eager", write, eager=True),
    )
    async with open_stage(database, *projections) as stage:
        for amount in range(1, 7):
            await stage.place(f"order-{amount}", amount)
        await stage.place(f"order-{BAD}", 7)
        await stage.catch_up()
        letters = [
            (row["projection"], row["stream"], row["error_type"]) for row in await stage.letters()
        ]
        assert sorted(letters) == [
            ("deferred", "order-3", error_type),
            ("eager", "order-3", error_type),
        ]
        for name in ("deferred", "eager"):
            rows = await stage.pool.fetch(f"SELECT amount FROM {name} ORDER BY line")
            assert [row["amount"] for row in rows] == [1, 2, 4, 5, 6]
