"""Projections that keep to no contract, one mistake each."""

import asyncio
import datetime as dt
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from typing_extensions import override

from sidecar.errors import SidecarError
from sidecar.events.record import RecordedEvent


@dataclass(frozen=True)
class Sold:
    item: str
    amount: int


class Sales:
    """Adds up amounts by stream, as it should be done."""

    tables: tuple[str, ...] = ("sales",)
    columns = "stream text PRIMARY KEY, amount bigint NOT NULL"

    async def setup(self, connection: Any) -> None:
        await connection.execute(f"CREATE TABLE IF NOT EXISTS sales ({self.columns})")

    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute(
            "INSERT INTO sales AS s VALUES ($1, $2) "
            "ON CONFLICT (stream) DO UPDATE SET amount = s.amount + excluded.amount",
            record.stream,
            event.amount,
        )


class ReadsStatus(Sales):
    """Inserts when the status says that nothing was updated."""

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        update = "UPDATE sales SET amount = amount + $2 WHERE stream = $1"
        if await connection.execute(update, record.stream, event.amount) == "UPDATE 0":
            insert = "INSERT INTO sales VALUES ($1, $2)"
            await connection.execute(insert, record.stream, event.amount)


class SwallowsStatus(ReadsStatus):
    """The same, and takes the error for an answer."""

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        try:
            await super().handle(event, connection, record)
        except SidecarError:
            await connection.execute("INSERT INTO sales VALUES ($1, 0)", record.stream)


class ReadsClock(Sales):
    """Writes down when it ran."""

    columns = "stream text PRIMARY KEY, amount bigint NOT NULL, at timestamptz"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute(
            "INSERT INTO sales VALUES ($1, $2, $3) ON CONFLICT (stream) DO UPDATE SET at = $3",
            record.stream,
            event.amount,
            dt.datetime.now(dt.UTC),
        )


class AsksServersClock(ReadsClock):
    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute(
            "INSERT INTO sales VALUES ($1, $2, now()) "
            "ON CONFLICT (stream) DO UPDATE SET at = now()",
            record.stream,
            event.amount,
        )


class DrawsKeys(Sales):
    """Gives each row an id of chance."""

    columns = "id uuid PRIMARY KEY, stream text, amount bigint"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        insert = "INSERT INTO sales VALUES ($1, $2, $3)"
        await connection.execute(insert, uuid.uuid4(), record.stream, event.amount)


class AddsUpInMemory(Sales):
    """Keeps the sum in an attribute."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        self.sums[record.stream] = self.sums.get(record.stream, 0) + event.amount
        await connection.execute(
            "INSERT INTO sales VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET amount = $2",
            record.stream,
            self.sums[record.stream],
        )


class SkipsWhatItSaw(Sales):
    """Takes an event that it was called with before for one that was applied."""

    def __init__(self) -> None:
        self.last = 0

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        if record.position > self.last:
            self.last = record.position
            await super().handle(event, connection, record)


class WritesInLots(Sales):
    """Writes every third time, what it has gathered since."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int]] = []

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        self.waiting.append((record.stream, event.amount))
        if len(self.waiting) == 3:
            await connection.executemany(
                "INSERT INTO sales AS s VALUES ($1, $2) "
                "ON CONFLICT (stream) DO UPDATE SET amount = s.amount + excluded.amount",
                self.waiting,
            )
            self.waiting = []


class CountsBatches(Sales):
    """Numbers rows by the transaction that they were written in."""

    columns = "position bigint PRIMARY KEY, batch bigint"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute(
            "INSERT INTO sales SELECT $1::bigint, count(DISTINCT xmin::text) FROM sales"
            " WHERE xmin <> pg_current_xact_id()::xid",
            record.position,
        )


class KeepsTheLast(Sales):
    """Depends on the order of events of different streams."""

    columns = "one bool PRIMARY KEY, stream text"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute(
            "INSERT INTO sales VALUES (true, $1) ON CONFLICT (one) DO UPDATE SET stream = $1",
            record.stream,
        )


class RanksByArrival(Sales):
    """Depends on the rows of other streams, which it reads."""

    columns = "stream text PRIMARY KEY, rank bigint"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        before = await connection.fetchval("SELECT count(*) FROM sales")
        insert = "INSERT INTO sales VALUES ($1, $2) ON CONFLICT DO NOTHING"
        await connection.execute(insert, record.stream, before)


class ReadsOutside(Sales):
    """Asks through a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        own = await asyncpg.connect(self.dsn)
        factor = await own.fetchval("SELECT 2")
        await own.close()
        await super().handle(Sold(event.item, event.amount * factor), connection, record)


class ReadsByPool(Sales):
    """Asks through the pool of the application, which is open already."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        factor = await self.pool.fetchval("SELECT 2")
        await super().handle(Sold(event.item, event.amount * factor), connection, record)


class Mailer:
    """Stands for what sends mails."""

    def __init__(self) -> None:
        self.sent: list[str] = []


class SendsMail(Sales):
    """Has an effect that no rollback undoes."""

    def __init__(self) -> None:
        self.mailer = Mailer()

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        self.mailer.sent.append(event.item)
        await super().handle(event, connection, record)


class WritesFile(Sales):
    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        with self.path.open("a") as file:
            file.write(event.item)
        await super().handle(event, connection, record)


class DrawsNumbers(Sales):
    """Numbers invoices by a sequence, of which a rollback gives nothing back."""

    columns = "position bigint PRIMARY KEY, number bigint"

    @override
    async def setup(self, connection: Any) -> None:
        await super().setup(connection)
        await connection.execute("CREATE SEQUENCE IF NOT EXISTS numbers")

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        insert = "INSERT INTO sales VALUES ($1, nextval('numbers'))"
        await connection.execute(insert, record.position)


class RunsTogether(Sales):
    """Runs statements at the same time."""

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        work = super().handle
        await asyncio.gather(*(work(event, connection, record) for _ in range(3)))


class ForgetsTable(Sales):
    """Writes a table that it does not declare."""

    @override
    async def setup(self, connection: Any) -> None:
        await super().setup(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS log (line bigserial, item text)")

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await super().handle(event, connection, record)
        await connection.execute("INSERT INTO log (item) VALUES ($1)", event.item)


class WritesElsewhere(Sales):
    """Names its table with a schema."""

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute("INSERT INTO public.sales VALUES ($1, 1)", record.stream)


class MisspellsColumn(Sales):
    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute("UPDATE sales SET amout = 1")
