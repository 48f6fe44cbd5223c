import dataclasses
import datetime as dt
import uuid

import msgspec
import pytest

from tests.unit.records import RECORD, replace


def test_record_cannot_be_changed() -> None:
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        RECORD.position = 8  # type: ignore[misc]


def test_id_and_time_are_made_on_demand() -> None:
    assert RECORD.id == uuid.UUID(int=1)
    assert RECORD.recorded_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_plain_handlers_find_the_type_where_they_look() -> None:
    assert RECORD.event_type == "Placed"


def test_fields_are_the_decoded_data() -> None:
    assert RECORD.fields() == {"order": "1"}


@pytest.mark.parametrize("data", ["[1]", "null", "7", '{"a":'])
def test_data_that_is_no_object_has_no_fields(data: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        replace(data=data).fields()


@pytest.mark.parametrize(
    ("metadata", "headers"),
    [(None, {}), ('{"traceparent": "00"}', {"traceparent": "00"}), ("[1]", {}), ("{", {})],
)
def test_unreadable_metadata_counts_as_absent(
    metadata: str | None, headers: dict[str, object]
) -> None:
    assert replace(metadata=metadata).headers() == headers
