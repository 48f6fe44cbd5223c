"""Value objects of a service as fields of its events."""

import enum
import fractions
import ipaddress
import pathlib
import traceback
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from typing import Any

import pydantic
import pytest

from sidecar.errors import EventDecodingError, EventTypeError
from sidecar.events.types import EventTypes
from sidecar.testing import InMemoryEventStore
from tests.unit.records import replace


class Money:
    """A value object that says nothing of its fields."""

    def __init__(self, cents: int, currency: str = "EUR") -> None:
        self.cents = cents
        self.currency = currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.cents, self.currency))

    def __repr__(self) -> str:
        return f"Money({self.cents})"

    def to_json(self) -> object:
        return {"cents": self.cents, "currency": self.currency}

    @classmethod
    def from_json(cls, data: Any) -> "Money":
        return cls(**data)


class Cents(int):
    """Of a class that JSON has a form for."""


class Pair(enum.Enum):
    PAIR = (1, 2)


class Point(pydantic.BaseModel):
    x: int


@pytest.fixture
def types() -> EventTypes:
    types = EventTypes()
    types.value(Money, to_json=Money.to_json, from_json=Money.from_json)
    types.value(ipaddress.IPv4Address, to_json=str, from_json=ipaddress.IPv4Address)
    types.value(pathlib.Path, to_json=str, from_json=pathlib.Path)
    types.value(fractions.Fraction, to_json=str, from_json=fractions.Fraction)
    types.value(Cents, to_json=int, from_json=Cents)
    return types


def declare(annotation: Any) -> type:
    return make_dataclass("Event", [("order", str), ("held", annotation)], frozen=True)


NESTED = declare(Money)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Money, Money(5)),
        (Money | None, None),
        (list[Money], [Money(5), Money(6, "USD")]),
        (dict[str, tuple[Money, ...]], {"a": (Money(1),)}),
        (ipaddress.IPv4Address, ipaddress.IPv4Address("10.0.0.1")),
        (pathlib.Path, pathlib.Path("/srv")),
        (fractions.Fraction, fractions.Fraction(1, 3)),
        (Cents, Cents(7)),
        (NESTED, NESTED("2", Money(3))),
    ],
    ids=str,
)
async def test_an_object_whose_form_is_told_is_read_as_it_was(
    types: EventTypes, annotation: Any, value: object
) -> None:
    cls = declare(annotation)
    types.register(version=2)(cls)
    types.upcast("Event", from_version=1)(lambda shape: shape)
    store = InMemoryEventStore(types)
    await store.append("a", [cls("1", value)])
    [record] = await store.read()
    for schema_version in (2, 1):
        read = types.decode(replace(type="Event", schema_version=schema_version, data=record.data))
        assert read.held == value  # type: ignore[attr-defined]
        assert type(read.held) is type(value)  # type: ignore[attr-defined]


def test_what_does_not_fit_is_an_error_without_the_value(types: EventTypes) -> None:
    cls = declare(Money)
    types.register()(cls)
    data = '{"order": "1", "held": {"hunter2": 1}}'
    with pytest.raises(
        EventDecodingError, match="`from_json` of Money failed with TypeEr"
    ) as caught:
        types.decode(replace(type="Event", data=data))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_what_cannot_be_read_again_is_refused_at_append(types: EventTypes) -> None:
    class Odd:
        pass

    types.value(Odd, to_json=lambda _: 1, from_json=lambda _: Money(1))  # type: ignore[arg-type,return-value]
    cls = declare(Odd)
    types.register()(cls)
    with pytest.raises(EventTypeError, match=r"Expected `Odd`, got `Money` - at `\$.held`"):
        types.encode(cls("1", Odd()))
    types.value(Broken, to_json=Broken.fail, from_json=Broken.fail)
    broken = make_dataclass("Second", [("held", Broken)], frozen=True)
    types.register()(broken)
    with pytest.raises(EventTypeError, match="Second has a field without JSON form: no money"):
        types.encode(broken(Broken()))


class Broken:
    @staticmethod
    def fail(value: object) -> Any:
        raise ValueError("no money")


@dataclass(frozen=True)
class Known:
    order: str


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Known, "Known has a JSON form already"),
        (Decimal, "Decimal has a JSON form already"),
        (Point, "Point has a JSON form already"),
        (str, "str has a JSON form already"),
        (Money, "The form of Money is told already"),
        (Pair, "Pair cannot be a field: .*Enums must .*give its members text, or whole numbers"),
        ("Money", "'Money' is no class"),
        (list[int], "is no class"),
    ],
    ids=str,
)
def test_a_form_that_would_not_be_used_is_refused(types: EventTypes, cls: Any, words: str) -> None:
    with pytest.raises(EventTypeError, match=words):
        types.value(cls, to_json=str, from_json=str)


def test_a_field_without_form_is_refused_with_the_way_to_tell_it() -> None:
    with pytest.raises(
        EventTypeError, match=r"Event.held is a Money.*`types.value\(Money, to_json"
    ):
        EventTypes().register()(declare(Money))


@pytest.mark.parametrize("name", ["", "  ", "nul\0", "half \ud800", 5, b"x"])
def test_name_that_postgres_cannot_keep_is_refused(name: Any) -> None:
    types = EventTypes()
    if name:
        with pytest.raises(EventTypeError, match="no name of an event type"):
            types.register(name=name)(Known)
    types.register()(Known)
    with pytest.raises(EventTypeError, match="no name of an event type"):
        types.rename(name, "Known")
    with pytest.raises(EventTypeError, match="no name of an event type"):
        types.retire(name)


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, 2**31])
def test_schema_version_that_cannot_be_kept_is_refused(version: Any) -> None:
    with pytest.raises(EventTypeError, match="schema versions count from 1"):
        EventTypes().register(version=version)(Known)
