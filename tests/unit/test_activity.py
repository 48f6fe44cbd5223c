"""Sessions at the server are shown by name and state, both bounded."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.postgres.pools.activity import MAX_NAMES, SessionState, fold

ROWS = st.lists(
    st.tuples(
        st.text(max_size=3),
        st.sampled_from(["active", "idle", "idle in transaction (aborted)", "disabled", ""]),
        st.integers(1, 99),
    ),
    max_size=200,
    unique_by=lambda row: row[:2],
)


def test_a_name_that_is_there_has_every_state() -> None:
    activity = fold([("shop", "idle in transaction", 2), ("shop", "active", 1), ("", "", 3)])
    assert activity == {
        ("_OTHER", "active"): 0,
        ("_OTHER", "idle"): 0,
        ("_OTHER", "idle_in_transaction"): 0,
        ("_OTHER", "other"): 3,
        ("shop", "active"): 1,
        ("shop", "idle"): 0,
        ("shop", "idle_in_transaction"): 2,
        ("shop", "other"): 0,
    }


@given(ROWS)
def test_no_session_is_lost_and_the_series_stay_bounded(rows: list[tuple[str, str, int]]) -> None:
    activity = fold(rows)
    assert sum(activity.values()) == sum(row[2] for row in rows)
    assert len(activity) <= (MAX_NAMES + 1) * len(SessionState)
