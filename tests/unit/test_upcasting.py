import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.events.upcasting import Shape, Upcaster, find_holes, upcast


def step(version: int) -> Upcaster:
    def note(shape: Shape) -> Shape:
        return {**shape, "path": f"{shape.get('path', '')}{version}"}

    return note


CHAIN = {version: step(version) for version in range(1, 6)}


def test_shape_is_led_through_every_step_in_order() -> None:
    assert upcast({"a": 1}, 2, 5, CHAIN) == {"a": 1, "path": "234"}


def test_current_shape_is_left_alone() -> None:
    shape: Shape = {"a": 1}
    assert upcast(shape, 5, 5, {}) is shape


def test_hole_on_the_way_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        upcast({}, 1, 4, {1: step(1), 3: step(3)})


@given(st.integers(1, 9), st.sets(st.integers(1, 9)))
def test_holes_are_the_older_versions_without_a_step(current: int, known: set[int]) -> None:
    holes = list(find_holes(current, {version: step(version) for version in known}))
    assert holes == sorted(set(range(1, current)) - known)
