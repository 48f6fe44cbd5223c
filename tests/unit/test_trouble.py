from sidecar.projections.trouble import Trouble


def test_attempts_are_counted_for_one_position_at_a_time() -> None:
    trouble = Trouble()
    assert [trouble.count_attempt(position) for position in (7, 7, 8, 8, 8, 7)] == [
        1,
        2,
        1,
        2,
        3,
        1,
    ]


def test_streak_counts_one_error_type_until_an_event_succeeds() -> None:
    trouble = Trouble()
    for error_type in ("A", "A", "B", "B", "B"):
        trouble.count_left(error_type)
    assert (trouble.streak_of("A"), trouble.streak_of("B")) == (0, 3)
    trouble.clear_streak()
    assert trouble.streak_of("B") == 0
