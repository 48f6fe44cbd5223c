import uuid

from hypothesis import given
from hypothesis import strategies as st

from sidecar.events.event_id import make_ids


@given(count=st.integers(0, 300))
def test_ids_are_as_many_as_asked_for_and_all_different(count: int) -> None:
    assert len(set(make_ids(count))) == count


def test_ids_are_random_uuids_by_the_standard() -> None:
    for made in make_ids(200):
        same = uuid.UUID(made)
        assert (same.version, same.variant) == (4, uuid.RFC_4122)
