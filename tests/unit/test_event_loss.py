"""What an event would lose on its way through JSON is refused when it is appended."""

import collections
import datetime as dt
import enum
import math
import random
import string
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from sidecar.errors import EventTypeError
from sidecar.events.types import EventTypes
from tests.unit.records import replace

T = TypeVar("T")
ID = uuid.UUID(int=5)
MOMENT = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Base:
    number: int = 1


@dataclass(frozen=True)
class Longer(Base):
    note: str = ""


@dataclass(frozen=True)
class Renamed(Base):
    """Of the same fields."""


@dataclass(frozen=True)
class Box(Generic[T]):
    content: T


@dataclass(frozen=True, eq=False)
class Unequal:
    number: int = 1


class Raising(msgspec.Struct, frozen=True):  # noqa: PLW1641 - nobody hashes it
    number: int = 1

    def __eq__(self, other: object) -> bool:
        raise ValueError


@attrs.frozen
class Line:
    price: Any


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    number: int = 1
    _seen: int = pydantic.PrivateAttr(default_factory=lambda: random.randrange(10**9))


class Document(TypedDict):
    order: str


class Pair(NamedTuple):
    left: int
    right: str


class Color(enum.Enum):
    RED = "red"


class Name(enum.StrEnum):
    ANN = "ann"


def declare(annotation: Any) -> type:
    return make_dataclass("Event", [("order", str), ("held", annotation)], frozen=True)


def pass_through(annotation: Any, value: object) -> Any:
    """Return what is read of an event that holds a value."""
    types = EventTypes()
    cls = declare(annotation)
    types.register()(cls)
    name, _, data = types.encode(cls("1", value))
    read: Any = types.decode(replace(type=name, data=data))
    return read.held


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Any, Decimal("1.10"), r"Event.held is of type Decimal, and would be read as str"),
        (object, MOMENT, "of type datetime, and would be read as str"),
        (Any, dt.date(2026, 1, 1), "of type date"),
        (Any, ID, "of type UUID"),
        (Any, b"x", "of type bytes"),
        (Any, Base(), "of type Base, and would be read as dict"),
        (Any, Color.RED, "of type Color"),
        (Any, {1, 2}, "of type set, and would be read as list"),
        (Any, {1: "a"}, "a key of Event.held is of type int, and would be read as str"),
        (dict, {Decimal(1): 1}, "a key of Event.held is of type Decimal"),
        (list, [1, Decimal(1)], r"Event.held\[1\] is of type Decimal"),
        (tuple, (Decimal(1),), r"Event.held\[0\] is of type Decimal"),
        (set, {Decimal(1)}, r"Event.held\[...\] is of type Decimal"),
        (Sequence, [MOMENT], r"Event.held\[0\] is of type datetime"),
        (Mapping[str, object], {"a": [{"b": b"x"}]}, r"Event.held\['a'\]\[0\]\['b'\] is of type b"),
        (Box, Box(Decimal(1)), "Event.held.content is of type Decimal"),
        (T, Decimal(1), "Event.held is of type Decimal"),
        (Line, Line(MOMENT), "Event.held.price is of type datetime"),
        (Open, Open(number=1, odd=Decimal(1)), "Event.held.odd is of type Decimal"),  # type: ignore[call-arg]
        (
            Base,
            Longer(1, "kept nowhere"),
            "of type Longer, and would be read as Base",
        ),
        (Document, {"order": "1", "more": 2}, r"Event.held\['more'\] is of type int.* nothing"),
        (float, 2**70 + 1, "of type int, and would be read as float"),
        (dict[str, int], {1: 1}, "a key of Event.held is of type int"),
        (list[int], {1}, "of type set, and would be read as list"),
    ],
    ids=str,
)
def test_what_would_be_read_as_something_else_is_refused_by_its_place(
    annotation: Any, value: object, words: str
) -> None:
    with pytest.raises(EventTypeError, match=words) as caught:
        pass_through(annotation, value)
    assert "declare what it is, or give it plain values" in str(caught.value)
    for shown in ("1.10", "kept nowhere", "2026"):
        assert shown not in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Any, {"a": [1, 2.5, None, True, "x", {"b": []}], "": {}}),
        (Any, 2**70 + 1),
        (Any, Name.ANN),
        (float, 3),
        (Decimal, 3),
        (Decimal, Decimal("1E+400")),
        (dict[str, int], collections.defaultdict(int, {"a": 1})),
        (dict[int, str], {1: "a"}),
        (Pair, (1, "a")),
        (frozenset[Decimal], frozenset({Decimal(1)})),
        (bytes, bytearray(b"x")),
    ],
    ids=str,
)
def test_what_is_equal_when_it_is_read_passes(annotation: Any, value: object) -> None:
    assert pass_through(annotation, value) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Any, (1, (2, 3))),
        (list[Any], (1, 2)),
        (Decimal, Decimal("NaN")),
        (Decimal, Decimal("sNaN")),
        (Unequal, Unequal()),
        (Raising, Raising()),
        (Base, Renamed()),
        (uuid.UUID, str(ID)),
        (Base, {"number": 1}),
        (Open, Open(number=2, odd="x")),  # type: ignore[call-arg]
    ],
    ids=repr,
)
def test_what_becomes_what_is_declared_or_an_array_passes(annotation: Any, value: object) -> None:
    pass_through(annotation, value)


def test_fields_of_exact_types_are_not_compared() -> None:
    """It would cost each append, and what is not of such a type is refused anyway."""
    types = EventTypes()
    types.register()(Raising)
    assert types.encode(Raising(3))[2] == '{"number":3}'


PLAIN: list[Callable[[random.Random], object]] = [
    lambda _: None,
    lambda draw: draw.random() < 0.5,
    lambda draw: draw.randrange(-(2**80), 2**80),
    lambda draw: draw.uniform(-1e9, 1e9),
    lambda draw: "".join(draw.choices(string.printable + "äß\u2603\0", k=draw.randrange(9))),
]
RICH: list[Callable[[random.Random], object]] = [
    lambda draw: Decimal(draw.randrange(10**6)) / 100,
    lambda draw: MOMENT + dt.timedelta(seconds=draw.randrange(10**6)),
    lambda draw: uuid.UUID(int=draw.getrandbits(128)),
    lambda draw: draw.randbytes(4),
    lambda draw: Base(draw.randrange(9)),
    lambda draw: {draw.randrange(9)},
]


def draw_value(draw: random.Random, leaves: list[Callable[[random.Random], object]]) -> object:
    kind = draw.randrange(5)
    if kind == 0:
        return [draw_value(draw, leaves) for _ in range(draw.randrange(4))]
    if kind == 1:
        return {f"k{n}": draw_value(draw, leaves) for n in range(draw.randrange(4))}
    return draw.choice(leaves)(draw)


def is_plain(value: object) -> bool:
    if isinstance(value, list | dict):
        return all(map(is_plain, value.values() if isinstance(value, dict) else value))
    return value is None or type(value) in {bool, int, float, str}


@pytest.mark.parametrize("seed", range(20))
def test_a_drawn_value_is_read_as_it_was_or_refused(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(50):
        value = draw_value(draw, PLAIN + RICH * (seed % 2))
        if is_plain(value):
            assert pass_through(Any, value) == value
        else:
            with pytest.raises(EventTypeError, match="would be read as"):
                pass_through(Any, value)


def test_number_that_json_lacks_is_still_told_as_such() -> None:
    with pytest.raises(EventTypeError, match="NaN or infinite"):
        pass_through(Any, [math.inf])
