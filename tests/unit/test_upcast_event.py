"""An event that came through an upcaster is read exactly as one of today."""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.errors import EventDecodingError
from sidecar.events.types import EventTypes
from tests.unit.records import replace


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@dataclass(frozen=True)
class Money:
    amount: Decimal
    currency: Literal["EUR", "USD"]


class Card(msgspec.Struct, frozen=True, tag=True):
    digits: str


class Cash(msgspec.Struct, frozen=True, tag=True):
    coins: dict[int, int]


UTC = st.just(dt.UTC)
DELTAS = st.timedeltas(dt.timedelta(days=-1000), dt.timedelta(days=1000))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE = st.integers(-(2**63), 2**64 - 1)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | FLOATS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=5,
)

FIELDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "truth": (bool, st.booleans()),
    "whole": (int, WHOLE),
    "huge": (int, st.integers()),
    "number": (float, FLOATS),
    "either": (int | float, WHOLE | FLOATS),
    "text": (str, TEXTS),
    "binary": (bytes, st.binary()),
    "decimal": (Decimal, DECIMALS),
    "id": (uuid.UUID, st.uuids()),
    "moment": (dt.datetime, st.datetimes(timezones=UTC)),
    "local": (dt.datetime, st.datetimes()),
    "day": (dt.date, st.dates()),
    "hour": (dt.time, st.times()),
    "length": (dt.timedelta, DELTAS),
    "color": (Color, st.sampled_from(Color)),
    "size": (Size, st.sampled_from(Size)),
    "word": (Literal["a", 1], st.sampled_from(["a", 1])),
    "maybe": (uuid.UUID | None, st.none() | st.uuids()),
    "some": (tuple[int, ...], st.lists(WHOLE).map(tuple)),
    "pair": (tuple[int, str], st.tuples(WHOLE, TEXTS)),
    "unique": (set[str], st.sets(TEXTS)),
    "frozen": (frozenset[dt.date], st.frozensets(st.dates())),
    "by_text": (dict[str, float], st.dictionaries(TEXTS, FLOATS)),
    "by_number": (dict[int, int], st.dictionaries(WHOLE, WHOLE)),
    "by_float": (dict[float, int], st.dictionaries(FLOATS, WHOLE)),
    "by_size": (dict[Size, int], st.dictionaries(st.sampled_from(Size), WHOLE)),
    "by_color": (dict[Color, int], st.dictionaries(st.sampled_from(Color), WHOLE)),
    "by_id": (dict[uuid.UUID, int], st.dictionaries(st.uuids(), WHOLE)),
    "by_day": (dict[dt.date, int], st.dictionaries(st.dates(), WHOLE)),
    "by_decimal": (dict[Decimal, int], st.dictionaries(DECIMALS, WHOLE)),
    "deep": (
        dict[int, list[dict[int, bytes]]],
        st.dictionaries(WHOLE, st.lists(st.dictionaries(WHOLE, st.binary()))),
    ),
    "price": (Money, st.builds(Money, DECIMALS, st.sampled_from(["EUR", "USD"]))),
    "paid": (
        Card | Cash,
        st.builds(Card, TEXTS) | st.builds(Cash, st.dictionaries(WHOLE, WHOLE)),
    ),
    "anything": (Any, JSON),
}

Everything = msgspec.defstruct(
    "Everything", [(name, kind) for name, (kind, _) in FIELDS.items()], frozen=True
)
EVENTS = st.builds(Everything, **{name: strategy for name, (_, strategy) in FIELDS.items()})


# The types are compared by what they make of a value, so each has a class of its own.
SINGLE = {
    name: msgspec.defstruct(f"Single_{name}", [("value", kind)], frozen=True)
    for name, (kind, _) in FIELDS.items()
}

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure


def make_types(*classes: type) -> EventTypes:
    types = EventTypes()
    for cls in classes:
        types.register(version=2)(cls)
        types.upcast(cls.__name__, from_version=1)(lambda shape: shape)
    return types


TYPES = make_types(Everything, *SINGLE.values())


def read(name: str, data: str, schema_version: int) -> object:
    """Return the event, or None when it is refused; the two have words of their own for why."""
    try:
        return TYPES.decode(replace(type=name, schema_version=schema_version, data=data))
    except EventDecodingError:
        return None


@unhurried
@given(EVENTS)
def test_an_upcast_event_equals_the_one_that_was_written(event: object) -> None:
    name, _, data = TYPES.encode(event)
    assert read(name, data, 1) == read(name, data, 2) == event


@unhurried
@given(st.sampled_from(list(SINGLE)), JSON)
def test_what_a_type_takes_and_refuses_is_the_same_for_an_upcast_event(
    field: str, value: object
) -> None:
    name, data = SINGLE[field].__name__, msgspec.json.encode({"value": value}).decode()
    assert read(name, data, 1) == read(name, data, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "7"),
        ("number", "100000000000000000000000000000000"),
        ("whole", "7.0"),
        ("whole", '"7"'),
        ("truth", "1"),
        ("text", "7"),
        ("binary", '"YQ=="'),
        ("binary", '"no base64"'),
        ("decimal", "7"),
        ("decimal", "7.10"),
        ("decimal", '"7.10"'),
        ("moment", "7"),
        ("moment", '"2026-01-01 00:00:00+02:00"'),
        ("size", "1.0"),
        ("color", '"green"'),
        ("unique", '["a", "a"]'),
        ("pair", '[1, "a", 2]'),
        ("maybe", '"nobody"'),
        ("by_number", '{"7": 8}'),
        ("by_number", '{"seven": 8}'),
        ("by_number", '{"7.0": 8}'),
        ("by_float", '{"7.5": 8, "7": 9}'),
        ("deep", '{"7": [{"8": "YQ=="}]}'),
        ("paid", '{"type": "Cash", "coins": {"50": 2}}'),
        ("paid", '{"type": "Cheque"}'),
        ("price", '{"amount": "7", "currency": "DM"}'),
        ("price", '{"amount": 7, "currency": "EUR", "note": "more than is known"}'),
    ],
)
def test_json_that_can_be_taken_in_two_ways_is_taken_in_one(field: str, value: str) -> None:
    name, data = SINGLE[field].__name__, f'{{"value": {value}}}'
    assert read(name, data, 1) == read(name, data, 2)
