from hypothesis import given
from hypothesis import strategies as st

from sidecar.events.tally import MAX_ERROR_TYPES, OTHER, BoundedCounts, PublishTally
from sidecar.projections.observer import Action, ProjectionNumbers, RunnerTally, add_up


@given(st.lists(st.text(max_size=2)), st.integers(1, 5))
def test_counts_lose_nothing_and_stay_bounded(labels: list[str], limit: int) -> None:
    counts = BoundedCounts(limit)
    for label in labels:
        counts.add(label)
    assert sum(counts.values()) == len(labels)
    assert len(counts) <= limit + 1


def test_labels_past_the_limit_are_folded() -> None:
    counts = BoundedCounts(2)
    for label in ("a", "b", "c", "d", "a"):
        counts.add(label)
    assert counts == {"a": 2, "b": 1, OTHER: 2}


def test_subscriber_is_counted_from_its_first_mention() -> None:
    tally = PublishTally()
    tally.projections["totals"].handled += 1
    assert tally.projections["totals"].handled == 1
    assert tally.handlers == {}


def test_failures_of_a_loop_are_bounded_by_error_type() -> None:
    tally = RunnerTally()
    for number in range(MAX_ERROR_TYPES + 5):
        tally.add_failure(f"Error{number}", Action.RETRY)
    tally.add_failure("Error0", Action.PARK)
    assert len(tally.failures) == MAX_ERROR_TYPES + 2
    assert tally.failures[OTHER, "retry"] == 5
    assert tally.failures["Error0", "park"] == 1


def make(
    applied: int, heartbeat_at: float | None, progress_at: float | None, error: str
) -> RunnerTally:
    tally = RunnerTally()
    tally.applied, tally.heartbeat_at, tally.progress_at = applied, heartbeat_at, progress_at
    tally.add_failure(error, Action.RETRY)
    return tally


def test_partitions_add_up_with_the_oldest_heartbeat_and_the_latest_progress() -> None:
    numbers = add_up([make(3, 10.0, 7.0, "A"), make(4, 12.0, 9.0, "A"), make(0, 11.0, None, "B")])
    assert numbers == ProjectionNumbers(
        applied=7,
        failures={("A", "retry"): 2, ("B", "retry"): 1},
        heartbeat_at=10.0,
        progress_at=9.0,
    )


def test_partition_without_a_heartbeat_leaves_the_projection_without_one() -> None:
    assert add_up([make(1, 10.0, None, "A"), make(1, None, None, "A")]).heartbeat_at is None


def test_what_only_fills_a_new_copy_here_is_counted_and_beats_for_nobody() -> None:
    assert add_up([], [make(4, 2.0, 9.0, "B")]) == ProjectionNumbers(
        applied=4, failures={("B", "retry"): 1}, heartbeat_at=None, progress_at=None
    )


def test_counts_of_a_partition_that_ended_stay_and_its_heartbeat_does_not() -> None:
    numbers = add_up([make(3, 10.0, 7.0, "A")], [make(4, 2.0, 9.0, "B")])
    assert numbers == ProjectionNumbers(
        applied=7,
        failures={("A", "retry"): 1, ("B", "retry"): 1},
        heartbeat_at=10.0,
        progress_at=7.0,
    )
