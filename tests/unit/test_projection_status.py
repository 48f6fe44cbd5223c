import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.projections.ports import State
from sidecar.projections.projection_sample import DeadLetterCount, PartitionSample
from sidecar.projections.projection_status import (
    STALL_SECONDS,
    Rebuild,
    Status,
    fold_status,
    partition_status,
)

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
LONG = STALL_SECONDS + 1


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


ROW = PartitionSample(
    projection="totals",
    copy="live",
    partition=0,
    partitions=1,
    kind="projection",
    position=100,
    state=State.RUNNING,
    detail=None,
    moved_at=ago(1),
    created_at=ago(9999),
    lag_events=0,
    lag_seconds=0.0,
    owner="worker-1",
)
BEHIND = replace(ROW, lag_events=5, lag_seconds=LONG)
live_rows = st.builds(
    replace,
    st.just(ROW),
    partition=st.integers(0, 3),
    position=st.integers(0, 100),
    state=st.sampled_from(State),
    detail=st.none() | st.just("slow"),
    moved_at=st.none() | st.floats(0, 9999).map(ago),
    lag_events=st.integers(0, 9),
    lag_seconds=st.floats(0, 9999),
    owner=st.none() | st.just("worker-2"),
)


def as_rebuild(row: PartitionSample) -> PartitionSample:
    return replace(row, copy="rebuild")


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (ROW, Status.CAUGHT_UP),
        (replace(ROW, moved_at=None), Status.CAUGHT_UP),
        (replace(ROW, moved_at=ago(9999)), Status.CAUGHT_UP),
        (replace(BEHIND, lag_seconds=1.0), Status.RUNNING),
        (BEHIND, Status.RUNNING),
        (replace(BEHIND, moved_at=ago(LONG)), Status.STALLED),
        (replace(BEHIND, moved_at=None), Status.STALLED),
        (replace(BEHIND, moved_at=None, created_at=ago(1)), Status.RUNNING),
        (replace(BEHIND, moved_at=ago(LONG), lag_seconds=1.0), Status.RUNNING),
        (replace(ROW, owner=None), Status.UNOWNED),
        (replace(BEHIND, owner=None, moved_at=ago(LONG)), Status.UNOWNED),
        (replace(ROW, state=State.PAUSED, owner=None), Status.PAUSED),
        (replace(BEHIND, state=State.FAILED, moved_at=ago(LONG)), Status.FAILED),
    ],
)
def test_partition_is_judged_by_state_owner_lag_and_last_move(
    row: PartitionSample, status: Status
) -> None:
    assert partition_status(row, NOW) is status


def test_projection_stands_as_its_worst_partition() -> None:
    rows = [
        replace(ROW, partitions=2),
        replace(
            BEHIND,
            partition=1,
            partitions=2,
            position=90,
            moved_at=ago(LONG),
            owner="worker-2",
            detail="slow",
        ),
    ]
    (projection,) = fold_status(rows, {}, 100, NOW)
    assert projection.status is Status.STALLED
    assert (projection.position, projection.lag_events, projection.lag_seconds) == (90, 5, LONG)
    assert projection.owners == ("worker-1", "worker-2")
    assert projection.moved_at == ago(1)
    assert projection.detail == "slow"
    assert (projection.rebuild, projection.progress) == (Rebuild.NONE, None)


def test_each_projection_has_its_own_letters() -> None:
    rows = [ROW, replace(ROW, projection="zeta")]
    totals, zeta = fold_status(rows, {"totals": DeadLetterCount(3, 2, ago(60))}, 100, NOW)
    assert (totals.name, totals.dead_letters, totals.parked_streams) == ("totals", 3, 2)
    assert (zeta.name, zeta.dead_letters, zeta.parked_streams) == ("zeta", 0, 0)
    assert (totals.oldest_letter_at, zeta.oldest_letter_at) == (ago(60), None)


@pytest.mark.parametrize(
    ("position", "head", "progress"), [(25, 100, 0.25), (120, 100, 1.0), (0, 0, 1.0)]
)
def test_rebuild_shows_its_progress_beside_the_live_copy(
    position: int, head: int, progress: float
) -> None:
    rows = [ROW, replace(ROW, copy="rebuild", position=position)]
    (projection,) = fold_status(rows, {}, head, NOW)
    assert projection.status is Status.CAUGHT_UP
    assert (projection.rebuild, projection.progress) == (Rebuild.RUNNING, progress)
    assert projection.position == 100


def test_rebuild_that_failed_leaves_the_status_to_the_live_copy() -> None:
    failed = replace(ROW, copy="rebuild", state=State.FAILED, detail="KeyError at position 7")
    (projection,) = fold_status([ROW, failed], {}, 100, NOW)
    assert (projection.status, projection.rebuild) == (Status.CAUGHT_UP, Rebuild.HALTED)
    assert projection.detail == "KeyError at position 7"


def test_what_both_copies_tell_is_told() -> None:
    live = replace(ROW, state=State.FAILED, detail="no right to create a table")
    rebuild = replace(ROW, copy="rebuild", state=State.FAILED, detail="KeyError at position 7")
    (projection,) = fold_status([live, rebuild, replace(rebuild, partition=1)], {}, 100, NOW)
    assert projection.detail == "no right to create a table; KeyError at position 7"


@given(st.lists(live_rows, min_size=1, max_size=3), st.lists(live_rows.map(as_rebuild), max_size=3))
def test_a_rebuild_changes_nothing_that_is_said_of_the_live_copy(
    live: list[PartitionSample], rebuild: list[PartitionSample]
) -> None:
    (alone,) = fold_status(live, {}, 100, NOW)
    (beside,) = fold_status([*live, *rebuild], {}, 100, NOW)
    assert alone == replace(beside, rebuild=Rebuild.NONE, progress=None, detail=alone.detail)
    assert (beside.rebuild is Rebuild.NONE) is (beside.progress is None) is (not rebuild)


def test_rebuild_without_a_live_copy_is_no_projection() -> None:
    assert fold_status([replace(ROW, copy="rebuild")], {}, 100, NOW) == ()
