from collections.abc import AsyncIterator

import pytest

from sidecar.errors import EventDecodingError
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database) as stage:
        yield stage


async def test_stream_is_read_above_a_version_up_to_a_limit(stage: Stage) -> None:
    await stage.place("order-1", *range(10))
    await stage.place("order-2", 1)
    records = await stage.store.read_stream("order-1", after_version=3, limit=4)
    assert [record.version for record in records] == [4, 5, 6, 7]
    assert {record.stream for record in records} == {"order-1"}


async def test_log_is_read_above_a_position_up_to_a_limit(stage: Stage) -> None:
    for number in range(10):
        await stage.place(f"order-{number}", number)
    records = await stage.store.read(after_position=2, limit=3)
    assert [record.position for record in records] == [3, 4, 5]


async def test_whole_log_is_read_in_pages(stage: Stage) -> None:
    await stage.place("order-1", *range(25))
    positions = [record.position async for record in stage.store.read_all(page_events=7)]
    assert positions == list(range(1, 26))


async def test_unknown_fields_are_kept_as_they_were_written(stage: Stage) -> None:
    data = '{"order": "1",  "amount": 5, "coupon": {"code": "X"}, "amount": 6}'
    await stage.insert("order-1", "Placed", data)
    (record,) = await stage.store.read_stream("order-1")
    assert record.data == data
    assert record.fields()["coupon"] == {"code": "X"}
    assert stage.store.decode(record) == Placed("1", 6)


async def test_record_carries_its_envelope(stage: Stage) -> None:
    await stage.place("order-1", 5)
    (record,) = await stage.store.read()
    assert (record.type, record.schema_version, record.version) == ("Placed", 1, 1)
    assert record.recorded_at.utcoffset() is not None
    assert record.metadata is None


async def test_decoding_what_does_not_fit_names_place_and_no_value(stage: Stage) -> None:
    await stage.insert("order-1", "Placed", '{"order": "1", "amount": "hunter2"}')
    (record,) = await stage.store.read()
    with pytest.raises(EventDecodingError, match=r"position 1 .*\$\.amount") as caught:
        stage.store.decode(record)
    assert "hunter2" not in str(caught.value)


async def test_decoding_an_unregistered_type_is_a_key_error(stage: Stage) -> None:
    await stage.insert("order-1", "Unheard", "{}")
    (record,) = await stage.store.read()
    with pytest.raises(KeyError, match="Unheard"):
        stage.store.decode(record)
