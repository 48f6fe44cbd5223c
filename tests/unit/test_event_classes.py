"""Classes that services have for their events: each is taken, or refused for what is true of it."""

import collections
import dataclasses
import datetime as dt
import enum
import ipaddress
import math
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from sidecar.errors import EventDecodingError, EventTypeError
from sidecar.events.types import EventTypes
from tests.unit.records import replace

T = TypeVar("T")
ID = uuid.UUID(int=5)
MOMENT = dt.datetime(2026, 11, 30, 9, 20, tzinfo=dt.UTC)


class Address(pydantic.BaseModel):
    street: str = pydantic.Field(validation_alias="strasse", serialization_alias="Strasse")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    id: uuid.UUID
    at: dt.datetime
    price: Decimal = pydantic.Field(alias="amount")
    to: Address
    rate: float | None = None

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def year(self) -> int:
        return self.at.year


class StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, strict=True)

    id: uuid.UUID
    at: dt.datetime


class FrozenByField(pydantic.BaseModel):
    number: int = pydantic.Field(frozen=True)


class Envelope(pydantic.BaseModel, Generic[T]):
    model_config = pydantic.ConfigDict(frozen=True)

    content: T


@pydantic.dataclasses.dataclass(frozen=True)
class Checked:
    number: Annotated[int, pydantic.Field(gt=3)]


@attrs.frozen
class Line:
    price: Decimal
    at: dt.datetime


@attrs.frozen(slots=False, kw_only=True)
class Order:
    lines: list[Line] = attrs.field(factory=list)
    number: int = attrs.field(default=5, validator=attrs.validators.gt(3))


@attrs.define
class LaterOrder(Order):
    note: str = ""


@dataclass(frozen=True)
class Mixed:
    address: Address
    lines: tuple[Line, ...]


ADDRESS = Address(strasse="Elm")  # type: ignore[call-arg]  # by its alias


@pytest.mark.parametrize(
    "event",
    [
        Model(id=ID, at=MOMENT, amount=Decimal("1.10"), to=ADDRESS),
        StrictModel(id=ID, at=MOMENT),
        FrozenByField(number=3),
        Envelope[Address](content=ADDRESS),
        Checked(4),
        Order(lines=[Line(Decimal("1.10"), MOMENT)]),
        LaterOrder(note="soon"),
        Mixed(ADDRESS, (Line(Decimal(1), MOMENT),)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_frozen_class_of_any_family_survives_the_way_to_json_and_back(event: object) -> None:
    types = EventTypes()
    types.register(version=2)(type(event))
    types.upcast(type(event).__name__, from_version=1)(lambda shape: shape)
    name, version, data = types.encode(event)
    for schema_version in (version, 1):
        read = types.decode(replace(type=name, schema_version=schema_version, data=data))
        assert read == event
        assert type(read) is type(event)


def test_fields_of_a_model_are_stored_under_their_own_names_without_computed_ones() -> None:
    types = EventTypes()
    types.register()(Model)
    _, _, data = types.encode(Model(id=ID, at=MOMENT, amount=Decimal("1.10"), to=ADDRESS))
    assert msgspec.json.decode(data) == {
        "id": str(ID),
        "at": "2026-11-30T09:20:00Z",
        "price": "1.10",
        "to": {"street": "Elm"},
        "rate": None,
    }


@dataclass
class LooseDataclass:
    order: str


class LooseStruct(msgspec.Struct):
    order: str


class LooseModel(pydantic.BaseModel):
    order: str


@attrs.define
class LooseAttrs:
    order: str


class Plain:
    order: str


class Pair(NamedTuple):
    order: str


class Document(TypedDict):
    order: str


@dataclass(frozen=True)
class Box(Generic[T]):
    content: T


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (LooseDataclass, r"can be mutated: .*@dataclass\(frozen=True\)"),
        (LooseStruct, "can be mutated: .*msgspec.Struct, frozen=True"),
        (LooseModel, r"can be mutated: .*ConfigDict\(frozen=True\)"),
        (LooseAttrs, "can be mutated: .*@attrs.frozen"),
        (Plain, "Plain is a plain class.*stands above it"),
        (Pair, "Pair is a tuple"),
        (Document, "Document is a TypedDict"),
        (Box[int], r"Box\[int\] is an alias of Box, .*`class Named\(.*Box\[int\]\)`"),
        (Address | Line, "is no class"),
    ],
)
def test_refusal_is_true_of_the_class_and_says_what_to_do(cls: Any, words: str) -> None:
    with pytest.raises(EventTypeError, match=words):
        EventTypes().register()(cls)


class Money:
    """A value object that says nothing of its fields."""


class Kind(enum.Enum):
    PAIR = (1, 2)


@attrs.frozen
class Private:
    _secret: int = 1


def declare(annotation: Any) -> type:
    return dataclasses.make_dataclass(
        "Declared", [("order", str), ("odd", annotation)], frozen=True
    )


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Box[int] | Line, "`odd` of Declared has no JSON form: .*more than one dataclass"),
        (dt.datetime | str, "`odd` of Declared .*more than one str-like type"),
        (Kind, "`odd` of Declared"),
        (Money, "Declared.odd is a Money, which has no JSON form"),
        (list[dict[str, Money]], "Declared.odd is a Money"),
        (collections.deque[int], "Declared.odd is a deque"),
        (ipaddress.IPv4Address, "Declared.odd is a IPv4Address"),
        (declare(Money), "Declared.odd.odd is a Money"),
        (Private, "Private._secret is private and would not be kept; call it `secret`"),
        (dataclasses.InitVar[int], "Declared has no JSON form: .*InitVar"),
        ("Nowhere", "Declared has no JSON form: NameError"),
    ],
    ids=str,
)
def test_field_that_no_event_can_have_is_named_when_its_class_is_registered(
    annotation: Any, words: str
) -> None:
    with pytest.raises(EventTypeError, match=words):
        EventTypes().register()(declare(annotation))


class Deferred(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    money: Money


def test_model_whose_schema_cannot_be_made_is_refused_in_one_line() -> None:
    types = EventTypes()
    types.register()(Deferred)
    with pytest.raises(EventTypeError, match=r"^Deferred has a field without .*Money.*ignore this"):
        types.encode(Deferred.model_construct(money=Money()))


@dataclass(frozen=True)
class Anything:
    value: object
    hashed: Hashable


def test_field_of_any_kind_takes_what_json_has() -> None:
    types = EventTypes()
    types.register()(Anything)
    name, _, data = types.encode(Anything({"a": [1, None]}, "key"))
    assert types.decode(replace(type=name, data=data)) == Anything({"a": [1, None]}, "key")
    with pytest.raises(EventTypeError, match=r"Expected `Hashable`, got `list` - at `\$.hashed`"):
        types.encode(Anything(1, []))  # type: ignore[arg-type]


class Recursive(msgspec.Struct, frozen=True):
    children: list["Recursive"] = []


def test_class_that_holds_its_own_kind_is_registered() -> None:
    EventTypes().register()(Recursive)


class Placed(msgspec.Struct, frozen=True):
    order: str
    amount: int = 0


@dataclass(frozen=True)
class Refusing:
    card: Any

    def __post_init__(self) -> None:
        if isinstance(self.card, list):
            raise ValueError(self.card)  # noqa: TRY004 - any error would do


LOOSE: dict[str, Any] = {"order": "1", "amount": "hunter2"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Placed(**LOOSE), r"Placed .*Expected `int`, got `str` - at `\$.amount`"),
        (lambda: Placed(order=None), r"Placed .*got `null` - at `\$.order`"),  # type: ignore[arg-type]
        (lambda: Placed("1", True), r"got `bool` - at `\$.amount`"),
        (lambda: Placed("1", 1.5), r"got `float` - at `\$.amount`"),  # type: ignore[arg-type]
        (lambda: Refusing(("hunter2",)), "Refusing .*its class refused it with ValueError"),
        (
            lambda: Model.model_construct(id=ID, at=MOMENT, price="hunter2", to=ADDRESS),
            r"Model .*decimal_parsing - at `\$.price`",
        ),
        (lambda: Model.model_construct(id=ID), r"Model .*missing - at `\$.at`, and 2 more"),
        (
            lambda: Line("hunter2", MOMENT),  # type: ignore[arg-type]
            "Line .*Invalid decimal string - at `\\$.price`",
        ),
        (
            lambda: Mixed(Address.model_construct(street=["hunter2"]), ()),
            r"Mixed .*string_type - at `\$.street` - at `\$.address`",
        ),
    ],
)
def test_event_that_nobody_could_read_is_refused_with_class_field_and_reason(
    make: Callable[[], object], words: str
) -> None:
    types = EventTypes()
    event = make()
    types.register()(type(event))
    with pytest.raises(EventTypeError, match=words) as caught:
        types.encode(event)
    if not isinstance(event, Refusing):  # there the words are the service's own
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_number_that_json_lacks_is_refused_in_a_model_too() -> None:
    types = EventTypes()
    types.register()(Model)
    event = Model(id=ID, at=MOMENT, amount=Decimal(1), to=ADDRESS, rate=math.nan)
    with pytest.raises(EventTypeError, match="NaN or infinite"):
        types.encode(event)


def test_stored_model_that_does_not_fit_shows_no_value() -> None:
    types = EventTypes()
    types.register()(StrictModel)
    record = replace(type="StrictModel", data=f'{{"id": "{ID}", "at": "hunter2"}}')
    with pytest.raises(EventDecodingError, match=r"position 7 .* - at `\$.at`") as caught:
        types.decode(record)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_neither_pydantic_nor_attrs_is_needed() -> None:
    code = (
        "import sys; sys.modules['pydantic'] = sys.modules['attr'] = sys.modules['attrs'] = None\n"
        "from dataclasses import dataclass\n"
        "from sidecar import EventTypes\n"
        "@dataclass(frozen=True)\n"
        "class Placed:\n"
        "    order: str\n"
        "types = EventTypes()\n"
        "print(types.register()(Placed) and types.encode(Placed('1')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == """('Placed', 1, '{"order":"1"}')"""
