from hypothesis import given
from hypothesis import strategies as st

from sidecar.health.history import SPAN_SECONDS, STEP_SECONDS, History, Point


def test_lags_are_kept_oldest_first_with_gaps_where_nothing_was_seen() -> None:
    history = History()
    history.record({"totals": Point(1, 0.5)}, 0.0)
    history.record({}, 5.0)
    history.record({"totals": Point(9, 2.0), "labels": Point(1, 0.0)}, 10.0)

    assert history.lags("totals") == [0.5, None, 2.0]
    assert history.lags("labels") == [None, None, 0.0]


def test_moments_closer_than_a_step_are_left_out() -> None:
    history = History()
    for tenth in range(100):
        history.record({"totals": Point(tenth, 0.0)}, tenth / 10)

    assert len(history.lags("totals")) == 2


def test_the_rate_is_that_of_the_last_minute() -> None:
    history = History()
    for step in range(40):
        position = 0 if step < 20 else (step - 20) * 50
        history.record({"totals": Point(position, 0.0)}, step * STEP_SECONDS)

    assert history.events_per_second("totals") == 10.0
    assert history.events_per_second("unknown") is None


def test_one_moment_gives_no_rate() -> None:
    history = History()
    history.record({"totals": Point(7, 0.0)}, 0.0)

    assert history.events_per_second("totals") is None


@given(st.lists(st.floats(0, 1e4), max_size=400))
def test_it_never_grows_beyond_a_quarter_of_an_hour(pauses: list[float]) -> None:
    history, now_mono = History(), 0.0
    for number, pause in enumerate(pauses):
        now_mono += pause
        history.record({"totals": Point(number, 0.0)}, now_mono)

    assert len(history.lags("totals")) <= SPAN_SECONDS / STEP_SECONDS
    assert (history.events_per_second("totals") or 0.0) >= 0.0
