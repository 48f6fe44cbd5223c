from hypothesis import given
from hypothesis import strategies as st

from sidecar.projections.worker import FASTEST_SECONDS, SLOWEST_SECONDS, next_delay_seconds


def test_polling_is_fast_after_news() -> None:
    assert next_delay_seconds(SLOWEST_SECONDS, moved=True) == FASTEST_SECONDS


@given(st.floats(FASTEST_SECONDS, SLOWEST_SECONDS))
def test_polling_slows_down_to_a_bound_without_news(delay: float) -> None:
    following = next_delay_seconds(delay, moved=False)
    assert min(delay, SLOWEST_SECONDS) <= following <= SLOWEST_SECONDS
    assert following > delay or delay == SLOWEST_SECONDS
