from pathlib import Path

import msgspec
import pytest

from sidecar.events.types import EventTypes
from sidecar.testing import check_samples

types = EventTypes()


@types.register(version=3)
class Placed(msgspec.Struct, frozen=True):
    order: str
    amount: int


@types.upcast("Placed", from_version=1)
def add_amount(shape: dict[str, object]) -> dict[str, object]:
    return {**shape, "amount": 0}


@types.upcast("Placed", from_version=2)
def rename_order(shape: dict[str, object]) -> dict[str, object]:
    return {"order": shape["id"], "amount": shape["amount"]}


@types.register(name="order.v.paid", version=1)
class Paid(msgspec.Struct, frozen=True):
    order: str


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    (tmp_path / "Placed.v1.json").write_text('{"id": "o1"}')
    (tmp_path / "Placed.v2.json").write_text('{"id": "o1", "amount": 5}')
    (tmp_path / "notes.txt").write_text("not a sample")
    return tmp_path


def faults(directory: Path) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        check_samples(types, directory)
    return str(caught.value).splitlines()


def test_readable_samples_of_every_old_version_pass(samples: Path) -> None:
    check_samples(types, samples)


def test_sample_of_the_present_version_is_read_too(samples: Path) -> None:
    (samples / "Placed.v3.json").write_text('{"order": "o1", "amount": 5}')
    (samples / "order.v.paid.v1.json").write_text('{"order": "o1"}')
    check_samples(types, samples)
    (samples / "Placed.v3.json").write_text('{"id": "o1", "amount": 5}')
    [fault] = faults(samples)
    assert fault.startswith("Placed.v3.json: ")


def test_each_old_version_without_a_sample_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path) == ["Placed.v1.json is missing", "Placed.v2.json is missing"]


def test_each_sample_that_cannot_be_read_is_named_without_its_values(samples: Path) -> None:
    (samples / "Placed.v1.json").write_text('{"no_id": "hunter2"}')
    (samples / "Placed.v2.json").write_text('{"id": "o1", "amount": "hunter2"}')
    (samples / "Placed.v9.json").write_text("{}")
    first, second, future = faults(samples)
    assert first.startswith("Placed.v1.json: ")
    assert "upcaster failed with KeyError" in first
    assert "$.amount" in second
    assert "Placed.v9.json: " in future
    assert "deploy a newer one" in future
    assert "hunter2" not in first + second


def test_sample_of_an_unregistered_type_is_named(samples: Path) -> None:
    (samples / "Gone.v1.json").write_text("{}")
    assert faults(samples) == ["Gone.v1.json: event type 'Gone' is not registered"]


@pytest.mark.parametrize("name", ["Placed.vx.json", "Placed.v.json", "Placed.v0.json"])
def test_sample_with_a_name_that_says_no_version_is_named(samples: Path, name: str) -> None:
    (samples / name).write_text("{}")
    [fault] = faults(samples)
    assert fault.startswith(f"{name}: ")


def test_sample_that_is_no_text_is_named(samples: Path) -> None:
    (samples / "Placed.v1.json").write_bytes(b"\xff\xfe")
    [fault] = faults(samples)
    assert fault.startswith("Placed.v1.json: ")


def test_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert any("is no directory" in fault for fault in faults(tmp_path / "nowhere"))
