"""Random handlers: each event is a program of statements, drawn from a seed.

What one writes depends on its own stream alone, but for sums: nothing may depend on the order
of events of different streams, nor on how many of them share a transaction.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec

from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes

STREAMS: Final = ("a", "b", "quote's", "long" * 20)
MIN_EVENTS: Final = 6
MAX_EVENTS: Final = 14
MAX_STEPS: Final = 4
MAX_DEPTH: Final = 2
FAILING_RATIO: Final = 0.12
CAUGHT_RATIO: Final = 0.3

types: Final = EventTypes()


class Step(msgspec.Struct, frozen=True):
    """One statement, or a block of them in a savepoint."""

    deed: str
    number: int
    block: tuple["Step", ...] = ()


@types.register()
class Program(msgspec.Struct, frozen=True):
    steps: tuple[Step, ...]


@types.register()
class Unhandled(msgspec.Struct, frozen=True):
    number: int


Deed: TypeAlias = Callable[[Any, RecordedEvent, int], Awaitable[object]]


class ProgramError(Exception):
    """Raised by a program, on purpose."""


async def upsert(connection: Any, record: RecordedEvent, number: int) -> None:
    await connection.execute(
        "INSERT INTO sums AS s VALUES ($1, $2, 1) ON CONFLICT (stream)"
        " DO UPDATE SET amount = s.amount + excluded.amount, writes = s.writes + 1",
        record.stream,
        number,
    )


async def note(connection: Any, record: RecordedEvent, number: int) -> None:
    insert = "INSERT INTO notes (stream, version, number) VALUES ($1, $2, $3)"
    await connection.execute(insert, record.stream, record.version, number)


async def note_many(connection: Any, record: RecordedEvent, number: int) -> None:
    rows = [[record.stream, record.version, each] for each in range(number % 4)]
    insert = "INSERT INTO notes (stream, version, number) VALUES ($1, $2, $3)"
    await connection.executemany(insert, rows)
    # What was handed over is the handler's again.
    rows.clear()


async def change(connection: Any, record: RecordedEvent, number: int) -> None:
    update = "UPDATE notes SET number = number + $2 WHERE stream = $1 AND number % 3 = 0"
    await connection.execute(update, record.stream, number)


async def delete(connection: Any, record: RecordedEvent, number: int) -> None:
    delete = "DELETE FROM notes WHERE stream = $1 AND number % 5 = $2"
    await connection.execute(delete, record.stream, number % 5)


async def read(connection: Any, record: RecordedEvent, number: int) -> None:
    query = "SELECT count(*) FROM notes WHERE stream = $1"
    await note(connection, record, number + await connection.fetchval(query, record.stream))


async def read_rows(connection: Any, record: RecordedEvent, number: int) -> None:
    query = "SELECT number FROM notes WHERE stream = $1 ORDER BY number, version LIMIT 3"
    for row in await connection.fetch(query, record.stream):
        await note(connection, record, row["number"] + number)


async def return_row(connection: Any, record: RecordedEvent, number: int) -> None:
    row = await connection.fetchrow(
        "UPDATE sums SET amount = amount + $2 WHERE stream = $1 RETURNING amount",
        record.stream,
        number,
    )
    await note(connection, record, -1 if row is None else row["amount"])


async def copy_rows(connection: Any, record: RecordedEvent, number: int) -> None:
    raw = await connection.raw()
    rows = [(record.stream, record.version, each) for each in range(number % 3)]
    columns = ("stream", "version", "number")
    await raw.copy_records_to_table("notes", records=rows, columns=columns)


async def count_all(connection: Any, _record: RecordedEvent, number: int) -> None:
    await connection.execute(
        "INSERT INTO total AS t VALUES (1, $1, 1) ON CONFLICT (id)"
        " DO UPDATE SET amount = t.amount + excluded.amount, events = t.events + 1",
        number,
    )


async def run_text(connection: Any, record: RecordedEvent, number: int) -> None:
    name = record.stream.replace("'", "''")
    values = f"('{name}', {record.version}, {number})"
    await connection.execute(
        f"INSERT INTO notes VALUES {values}; UPDATE sums SET writes = writes + 1"
        f" WHERE stream = '{name}'"
    )


async def use_temporary(connection: Any, record: RecordedEvent, number: int) -> None:
    await connection.execute("CREATE TEMP TABLE IF NOT EXISTS heap (number bigint)")
    await connection.execute("INSERT INTO heap VALUES ($1)", number)
    await note(connection, record, await connection.fetchval("SELECT max(number) FROM heap"))
    await connection.execute("DROP TABLE heap")


async def raise_error(_connection: Any, _record: RecordedEvent, number: int) -> None:
    raise ProgramError(number)


async def break_key(connection: Any, record: RecordedEvent, _number: int) -> None:
    insert = "INSERT INTO sums VALUES ($1, 0, 0)"
    await connection.execute(insert, record.stream)
    await connection.execute(insert, record.stream)


async def break_check(connection: Any, record: RecordedEvent, _number: int) -> None:
    await note(connection, record, -1000)


async def break_type(connection: Any, record: RecordedEvent, _number: int) -> None:
    await connection.execute("INSERT INTO sums VALUES ($1, $2, 1)", record.stream, "no number")


async def break_trigger(connection: Any, record: RecordedEvent, _number: int) -> None:
    await note(connection, record, 666)


async def break_deferred(connection: Any, record: RecordedEvent, _number: int) -> None:
    insert = "INSERT INTO parts VALUES ($1, 'nobody')"
    await connection.execute(insert, f"{record.stream} {record.version}")


async def divide_by_zero(connection: Any, _record: RecordedEvent, _number: int) -> None:
    await connection.fetchval("SELECT 1 / 0")


SOUND: Final[dict[str, Deed]] = {
    deed.__name__: deed
    for deed in (
        upsert, note, note_many, change, delete, read, read_rows, return_row, copy_rows,
        count_all, run_text, use_temporary,
    )
}  # fmt: skip
FAILING: Final[dict[str, Deed]] = {
    deed.__name__: deed
    for deed in (raise_error, break_key, break_check, break_type, divide_by_zero)
}
BY_TABLES: Final[dict[str, Deed]] = {
    deed.__name__: deed for deed in (break_trigger, break_deferred)
}
"""What a trigger or a foreign key refuses; tables with either cannot be copied by a rebuild."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS sums (
    stream text PRIMARY KEY, amount bigint NOT NULL, writes bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS notes (
    stream text NOT NULL, version bigint NOT NULL, number bigint CHECK (number > -1000)
);
CREATE TABLE IF NOT EXISTS parts (id text, stream text);
CREATE TABLE IF NOT EXISTS total (id bigint PRIMARY KEY, amount bigint, events bigint);
"""
_GUARDS: Final = """
CREATE OR REPLACE FUNCTION refuse_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number = 666 THEN RAISE EXCEPTION 'refused'; END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON notes
    FOR EACH ROW EXECUTE FUNCTION refuse_number();
DO $$ BEGIN
    ALTER TABLE parts ADD CONSTRAINT of_sums FOREIGN KEY (stream) REFERENCES sums
        DEFERRABLE INITIALLY DEFERRED;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
"""


class Programmed:
    """Runs the program that each event is.

    Args:
        has_guards: Whether triggers and foreign keys refuse some of what is written.
    """

    name: Final = "programmed"
    tables: Final = ("sums", "notes", "parts", "total")
    handles: Final = (Program,)

    def __init__(self, partitions: int, *, has_guards: bool) -> None:
        self.partitions: Final = partitions
        self.has_guards: Final = has_guards

    async def setup(self, connection: Any) -> None:
        await connection.execute(_TABLES)
        if self.has_guards:
            await connection.execute(_GUARDS)

    async def handle(self, event: Program, connection: Any, record: RecordedEvent) -> None:
        for step in event.steps:
            await self._do(step, connection, record)

    async def _do(self, step: Step, connection: Any, record: RecordedEvent) -> None:
        if not step.block:
            deed = SOUND.get(step.deed) or FAILING.get(step.deed) or BY_TABLES[step.deed]
            await deed(connection, record, step.number)
            return
        try:
            async with connection.transaction():
                for inner in step.block:
                    await self._do(inner, connection, record)
        except (ProgramError, asyncpg.PostgresError):
            if step.deed != "caught":
                raise


class Script:
    """A projection and its events, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._chance: Final = random.Random(seed)
        self._has_guards: Final = self._chance.random() < 0.3
        # Each seed has kinds of its own, so that the same statements come one after the other, too.
        self._deeds: Final = self._chance.sample(sorted(SOUND), self._chance.randint(2, len(SOUND)))
        partitions = self._chance.choice((1, 1, 3))
        self.projection: Final = Programmed(partitions, has_guards=self._has_guards)
        count = self._chance.randint(MIN_EVENTS, MAX_EVENTS)
        self.events: Final = [(self._chance.choice(STREAMS), self._event()) for _ in range(count)]

    def _event(self) -> object:
        if self._chance.random() < 0.05:
            return Unhandled(1)
        steps = [self._step(0) for _ in range(self._chance.randint(0, MAX_STEPS))]
        if self._chance.random() < FAILING_RATIO:
            steps.insert(self._chance.randint(0, len(steps)), self._failing())
        return Program(tuple(steps))

    def _failing(self) -> Step:
        deeds = {**FAILING, **BY_TABLES} if self._has_guards else FAILING
        return Step(self._chance.choice(sorted(deeds)), self._chance.randint(0, 50))

    def _step(self, depth: int) -> Step:
        if depth < MAX_DEPTH and self._chance.random() < 0.2:
            return self._block(depth)
        return Step(self._chance.choice(self._deeds), self._chance.randint(0, 50))

    def _block(self, depth: int) -> Step:
        steps = [self._step(depth + 1) for _ in range(self._chance.randint(1, 3))]
        deed = "block"
        if self._chance.random() < CAUGHT_RATIO:
            deed = "caught"
            # A deferred constraint fails at the end, where nobody can catch it.
            failing = Step(self._chance.choice(sorted(FAILING)), 1)
            steps.insert(self._chance.randint(0, len(steps)), failing)
        return Step(deed, 0, tuple(steps))
