"""Two projections that fill one table, as one group and each by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.projections.projection_group import ProjectionGroup
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
from tests.postgres.shop import BrokenOrderError, Paid, Placed
from tests.postgres.stage import Stage, session

NAME: Final = "accounts"
PLACED: Final = (Placed,)
PAID: Final = (Paid,)
ROWS: Final = "SELECT account, orders, spent, paid FROM accounts ORDER BY account"


class Filler:
    """Has what both have in common.

    Attributes:
        broken: Accounts that it fails for.
    """

    tables = (NAME,)

    def __init__(self, *, partitions: int = 1) -> None:
        self.partitions: Final = partitions
        self.broken: set[str] = set()

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {NAME} (account text PRIMARY KEY, "
            "orders bigint NOT NULL DEFAULT 0, spent bigint NOT NULL DEFAULT 0, paid bigint)"
        )

    def check(self, account: str) -> None:
        if account in self.broken:
            raise BrokenOrderError(account)


class Orders(Filler):
    """Adds up what was ordered; `factor` is a bug that a rebuild puts right."""

    name = "orders"
    handles = PLACED
    factor = 1

    async def handle(self, event: Placed, connection: Connection) -> None:
        self.check(event.order)
        await connection.execute(
            f"INSERT INTO {NAME} AS a (account, orders, spent) VALUES ($1, 1, $2) "
            "ON CONFLICT (account) DO UPDATE SET orders = a.orders + 1, spent = a.spent + $2",
            event.order,
            event.amount * self.factor,
        )


class Payments(Filler):
    """Keeps what had been ordered when it was paid, which the other member wrote.

    Attributes:
        stops_above: The position above which it hangs; None for nowhere.
        stopped: Set once it does.
    """

    name = "payments"
    handles = PAID

    def __init__(self, *, partitions: int = 1) -> None:
        super().__init__(partitions=partitions)
        self.stops_above: int | None = None
        self.stopped: Final = asyncio.Event()

    async def handle(self, event: Paid, connection: Connection, record: RecordedEvent) -> None:
        if self.stops_above is not None and record.position > self.stops_above:
            self.stopped.set()
            await asyncio.Event().wait()
        await connection.execute(
            f"UPDATE {NAME} SET paid = coalesce(paid, 0) + spent WHERE account = $1", event.order
        )
        self.check(event.order)


class Doubles(Filler):
    """Wants the events that `Orders` handles, too."""

    name = "doubles"
    handles = PLACED

    async def handle(self, event: Placed, connection: Connection) -> None:
        await connection.execute(
            f"UPDATE {NAME} SET paid = coalesce(paid, 0) + $2 * 2 WHERE account = $1",
            event.order,
            event.amount,
        )


def make_group(*members: object) -> ProjectionGroup:
    return ProjectionGroup(NAME, *(members or (Orders(), Payments())))


def release_of(stage: Stage, *projections: object) -> Stage:
    """Return the same database as another release of the service sees it."""
    publisher = EventPublisher(stage.publisher.types)
    for projection in projections:
        publisher.add_projection(projection)
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


async def trade(stage: Stage, accounts: int = 5, rounds: int = 2) -> None:
    """Append orders and payments of accounts, on streams of their own."""
    for number in range(accounts * rounds):
        account = f"a{number % accounts}"
        await stage.store.append(f"order-{account}", [Placed(account, number + 1)])
        await stage.store.append(f"payment-{account}", [Paid(account)])


async def read(stage: Stage) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await stage.pool.fetch(ROWS)]


async def expect(stage: Stage, factor: int = 1, *, doubles: bool = False) -> list[tuple[Any, ...]]:
    """Return what the read model has to be, computed from the log in its order."""
    rows: dict[str, list[int | None]] = {}
    columns = "type, data ->> 'order', (data ->> 'amount')::int"
    query = f"SELECT {columns} FROM sidecar.events ORDER BY position"
    for kind, account, amount in await stage.pool.fetch(query):
        row = rows.setdefault(account, [0, 0, None])
        if kind == "Placed":
            row[0], row[1] = (row[0] or 0) + 1, (row[1] or 0) + amount * factor
            if doubles:
                row[2] = (row[2] or 0) + amount * 2
        else:
            row[2] = (row[2] or 0) + (row[1] or 0)
    return [(account, *row) for account, row in sorted(rows.items())]


@asynccontextmanager
async def waiting_for_the_swap(stage: Stage) -> AsyncIterator[None]:
    """Begin a rebuild, have a worker fill it, and keep it under way for the length of the block."""
    async with session(stage.dsn, "report") as report, report.transaction():
        # As long as a table is in use, there is no swap.
        await report.execute(f"LOCK TABLE {NAME} IN ACCESS SHARE MODE")
        await rebuilding.start(stage, NAME)
        head = await stage.pool.fetchval("SELECT max(position) FROM sidecar.events")

        async def is_filled() -> bool:
            (row,) = await rebuilding.rows_of(stage, NAME)
            return bool(row["position"] == head)

        await eventually(is_filled)
        yield
