"""Stored events that do not fit their type: parked with the category, never guessed."""

from typing import Final

import msgspec
import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.projections.retry import RetryPolicy
from tests.postgres.shop import Journal
from tests.postgres.stage import open_stage

ONCE: Final = RetryPolicy(max_attempts=1)


@pytest.mark.parametrize(
    ("data", "schema_version"),
    [
        (r'{"order": "\ud800", "amount": 1}', 1),
        ('{"order": "1", "amount": "many"}', 1),
        ('{"order": "1"}', 1),
        ("[1, 2]", 1),
        ("null", 1),
        ("1e999999", 1),
        ('{"order": "1", "amount": 1}', 2),
    ],
    ids=["surrogate", "wrong type", "missing", "array", "null", "number", "future version"],
)
async def test_event_that_cannot_be_read_is_parked_as_such(
    database: str, data: str, schema_version: int
) -> None:
    async with open_stage(database, Journal(), policy=ONCE) as stage:
        await stage.insert("bad", "Placed", data, schema_version)
        await stage.place("bad", 1)
        await stage.place("good", 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good"]
        (letter,) = await stage.letters()
        assert (letter["category"], letter["error_type"]) == ("decode", "EventDecodingError")
        assert "position 1" in letter["error_message"]


async def test_event_nested_too_deep_is_parked(database: str) -> None:
    deep = '{"order": "1", "amount": 1, "more": ' + "[" * 3000 + "]" * 3000 + "}"
    async with open_stage(database, Journal(), policy=ONCE) as stage:
        await stage.insert("bad", "Placed", deep)
        await stage.place("good", 1)
        await stage.catch_up()
        assert "good" in [line.stream for line in await stage.lines()]


async def test_missing_step_of_a_chain_parks_and_the_deployed_step_cures(database: str) -> None:
    types = EventTypes()

    @types.register(name="Placed", version=2)
    class PlacedWithCurrency(msgspec.Struct, frozen=True):
        order: str
        amount: int
        currency: str

    seen: list[str] = []

    async def remember(
        event: PlacedWithCurrency, connection: Connection, record: RecordedEvent
    ) -> None:
        seen.append(event.currency)

    async with open_stage(database, remember, types=types, policy=ONCE) as stage:
        await stage.insert("order-1", "Placed", '{"order": "1", "amount": 1}')
        await stage.catch_up()
        assert [letter["category"] for letter in await stage.letters()] == ["decode"]
        types.upcast("Placed", from_version=1)(lambda shape: {**shape, "currency": "EUR"})
        await stage.retry()
        assert seen == ["EUR"]


async def test_upcaster_with_a_bug_parks_its_stream_only(database: str) -> None:
    types = EventTypes()

    @types.register(name="Placed", version=2)
    class Renamed(msgspec.Struct, frozen=True):
        number: str

    @types.upcast("Placed", from_version=1)
    def rename(shape: dict[str, object]) -> dict[str, object]:
        customer = shape.get("customer")
        return {"number": customer.upper()}  # type: ignore[attr-defined]

    seen: list[str] = []

    async def remember(event: Renamed, connection: Connection) -> None:
        seen.append(event.number)

    async with open_stage(database, remember, types=types, policy=ONCE) as stage:
        await stage.insert("bad", "Placed", "{}")
        await stage.insert("good", "Placed", '{"customer": "ann"}')
        await stage.catch_up()
        assert seen == ["ANN"]
        (letter,) = await stage.letters()
        assert letter["category"] == "decode"
        assert "its upcaster failed with AttributeError" in letter["error_message"]
