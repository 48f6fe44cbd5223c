from hypothesis import given
from hypothesis import strategies as st

from sidecar.projections.retry import (
    FIRST_DELAY_SECONDS,
    MAX_DELAY_SECONDS,
    MAX_PARK_SECONDS,
    Park,
    Retry,
    RetryPolicy,
    delay_seconds,
)

ratios = st.floats(0, 1)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 10), ratios)
def test_event_is_parked_once_its_attempts_or_the_patience_of_a_streak_are_used_up(
    attempt: int, streak: int, limit: int, jitter: float
) -> None:
    decision = RetryPolicy(max_attempts=limit, max_streak=limit).decide(attempt, streak, jitter)
    assert isinstance(decision, Park) is (attempt >= limit or streak >= limit)


def test_retry_waits_longer_each_time() -> None:
    policy = RetryPolicy(max_attempts=4)
    assert policy.decide(1, 0, 1.0) == Retry(FIRST_DELAY_SECONDS)
    assert policy.decide(3, 0, 1.0) == Retry(4 * FIRST_DELAY_SECONDS)


@given(st.integers(1, 10_000), ratios)
def test_delay_stays_within_its_step_and_its_cap(attempt: int, jitter: float) -> None:
    step = delay_seconds(attempt, 1.0)
    assert step / 2 <= delay_seconds(attempt, jitter) <= step <= MAX_DELAY_SECONDS
    assert step <= delay_seconds(attempt + 1, 1.0)


def test_parked_stream_waits_to_be_asked_by_default() -> None:
    assert RetryPolicy().park_delay_seconds(9) is None


def test_parked_stream_is_tried_less_and_less_often_up_to_a_day() -> None:
    policy = RetryPolicy(max_attempts=3, park_seconds=60)
    assert [policy.park_delay_seconds(n) for n in (1, 3, 4, 5)] == [60, 60, 120, 240]
    assert policy.park_delay_seconds(10_000) == MAX_PARK_SECONDS
