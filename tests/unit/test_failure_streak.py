from sidecar.projections.failure_handler import FailureStreak


def test_attempts_are_counted_for_one_position_at_a_time() -> None:
    streak = FailureStreak()
    assert [streak.count_attempt(position) for position in (7, 7, 8, 8, 8, 7)] == [
        1,
        2,
        1,
        2,
        3,
        1,
    ]


def test_streak_counts_one_error_type_until_an_event_succeeds() -> None:
    streak = FailureStreak()
    for error_type in ("A", "A", "B", "B", "B"):
        streak.count_left(error_type)
    assert (streak.streak_of("A"), streak.streak_of("B")) == (0, 3)
    streak.left = 0
    assert streak.streak_of("B") == 0
