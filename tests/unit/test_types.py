import enum
import math
import traceback
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from sidecar.errors import EventDecodingError, EventTypeError
from sidecar.events.types import EventTypes
from tests.unit.records import replace


class Color(enum.Enum):
    RED = "red"


class Placed(msgspec.Struct, frozen=True):
    order: str
    amount: int = 0
    color: Color = Color.RED


@dataclass(frozen=True)
class Paid:
    order: str


@pytest.fixture
def types() -> EventTypes:
    types = EventTypes()
    types.register(version=3)(Placed)
    types.register(name="payment")(Paid)
    return types


def test_event_survives_the_way_to_json_and_back(types: EventTypes) -> None:
    event = Placed("1", 5)
    name, version, data = types.encode(event)
    assert (name, version) == ("Placed", 3)
    assert types.decode(replace(type=name, schema_version=version, data=data)) == event


def test_frozen_dataclass_is_an_event_too(types: EventTypes) -> None:
    assert types.encode(Paid("1")) == ("payment", 1, '{"order":"1"}')


def test_name_of_an_event_is_registered_or_its_own_or_its_class(types: EventTypes) -> None:
    class Labelled:
        event_type = "labelled"

    names = [types.name_of(event) for event in (Paid("1"), Labelled(), object())]
    assert names == ["payment", "labelled", "object"]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [("payment", 1, "registered or retired"), ("old", 1, "retired"), ("Other", 0, "from 1")],
)
def test_registration_that_cannot_work_is_refused(
    types: EventTypes, name: str, version: int, words: str
) -> None:
    class Other(msgspec.Struct, frozen=True):
        pass

    types.retire("old")
    with pytest.raises(EventTypeError, match=words):
        types.register(name=name, version=version)(Other)


def test_class_is_registered_once(types: EventTypes) -> None:
    with pytest.raises(EventTypeError, match="Paid"):
        types.register(name="other")(Paid)


def nested(depth: int) -> object:
    inner: object = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("field", [object(), "\ud800", nested(100_000)], ids=type)
def test_event_without_json_form_is_refused(types: EventTypes, field: Any) -> None:
    with pytest.raises(EventTypeError, match="without JSON form"):
        types.encode(Paid(field))


@pytest.mark.parametrize("field", [math.nan, -math.inf, [{"rate": (1.0, math.inf)}]], ids=str)
def test_number_that_json_lacks_is_refused_and_not_kept_as_null(
    types: EventTypes, field: Any
) -> None:
    with pytest.raises(EventTypeError, match="NaN or infinite"):
        types.encode(Paid(field))


def test_absent_value_is_kept_as_null(types: EventTypes) -> None:
    @types.register()
    @dataclass(frozen=True)
    class Rated:
        rates: list[float | None]

    assert types.encode(Rated([None, 1.5]))[2] == '{"rates":[null,1.5]}'


def test_renamed_type_is_read_under_both_names(types: EventTypes) -> None:
    types.rename("invoice", "payment")
    assert types.decode(replace(type="invoice", data='{"order": "1"}')) == Paid("1")
    assert types.encode(Paid("1"))[0] == "payment"
    with pytest.raises(EventTypeError):
        types.rename("payment", "Placed")
    with pytest.raises(EventTypeError):
        types.rename("other", "unheard")


def test_retired_type_is_not_read(types: EventTypes) -> None:
    types.retire("old")
    assert types.find("old") is None
    with pytest.raises(EventTypeError):
        types.retire("payment")


def test_retired_name_is_given_to_no_other_type(types: EventTypes) -> None:
    types.retire("old")
    with pytest.raises(EventTypeError, match="retired"):
        types.rename("old", "payment")
    assert types.find("old") is None


@pytest.mark.parametrize(
    ("name", "from_version"), [("Placed", 0), ("Placed", 3), ("payment", 1), ("unheard", 1)]
)
def test_step_that_leads_nowhere_is_refused(
    types: EventTypes, name: str, from_version: int
) -> None:
    with pytest.raises(EventTypeError):
        types.upcast(name, from_version=from_version)


def test_two_steps_from_one_version_are_refused(types: EventTypes) -> None:
    types.upcast("Placed", from_version=1)(lambda shape: shape)
    with pytest.raises(EventTypeError, match="two upcasters"):
        types.upcast("Placed", from_version=1)


def test_older_event_is_led_through_its_chain(types: EventTypes) -> None:
    types.upcast("Placed", from_version=1)(lambda shape: {"order": shape["number"]})
    types.upcast("Placed", from_version=2)(lambda shape: {**shape, "amount": 9})
    record = replace(schema_version=1, data='{"number": "1"}')
    assert types.decode(record) == Placed("1", 9)


def test_holes_of_every_type_are_found(types: EventTypes) -> None:
    types.upcast("Placed", from_version=2)(lambda shape: shape)
    assert list(types.find_holes()) == [("Placed", 1)]


def raise_attribute_error(shape: dict[str, object]) -> dict[str, object]:
    raise AttributeError("hunter2")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 4}, "up to 3"),
        ({"schema_version": 1}, "its upcaster failed with AttributeError"),
        ({"schema_version": 2}, "its upcaster failed with KeyError"),
        ({"data": '{"order": "1", "amount": "hunter2"}'}, r"\$\.amount"),
        ({"data": '{"order": "1", "color": "hunter2"}'}, "an unexpected value"),
        ({"data": r'{"order": "\ud800"}'}, "cannot be read"),
        ({"data": '{"order"'}, "cannot be read"),
    ],
)
def test_event_that_cannot_be_read_says_where_and_keeps_its_values(
    types: EventTypes, changes: dict[str, Any], words: str
) -> None:
    types.upcast("Placed", from_version=1)(raise_attribute_error)
    with pytest.raises(EventDecodingError, match=words) as caught:
        types.decode(replace(**{"schema_version": 3, **changes}))
    assert "position 7" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("color", ["hunter2", "hunter2.", ""])
def test_value_that_msgspec_would_show_is_in_no_traceback(types: EventTypes, color: str) -> None:
    data = msgspec.json.encode({"order": "1", "color": color}).decode()
    with pytest.raises(EventDecodingError, match="an unexpected value") as caught:
        types.decode(replace(schema_version=3, data=data))
    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in told
    assert "Invalid enum value" not in told


@pytest.mark.parametrize("error", [ValueError, AttributeError])
def test_class_that_refuses_its_fields_keeps_their_values(error: type[Exception]) -> None:
    types = EventTypes()

    @types.register()
    class Refusing(msgspec.Struct, frozen=True):
        card: str

        def __post_init__(self) -> None:
            raise error(self.card)

    with pytest.raises(EventDecodingError, match=f"refused it with {error.__name__}") as caught:
        types.decode(replace(type="Refusing", data='{"card": "hunter2"}'))
    assert "hunter2" not in str(caught.value)
