"""For how long a projection's loop has been silent, whatever the clock on the wall says."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from sidecar.process.supervisor import WorkerPlace
from sidecar.wiring.snapshot import silences_of


@pytest.fixture
def worker() -> Iterator[WorkerPlace]:
    with closing(WorkerPlace("worker-1", (), {})) as worker:
        yield worker


def hear(worker: WorkerPlace, **ages: float | None) -> None:
    told = {name: {"heartbeat_age_seconds": age} for name, age in ages.items()}
    worker.hear({"projections": told}, "")
    worker.answered_mono = 100.0


def test_what_a_worker_told_gets_older_with_its_answer(worker: WorkerPlace) -> None:
    hear(worker, totals=0.5, labels=2.0)

    assert silences_of([worker], 103.0) == {"totals": 3.5, "labels": 5.0}


def test_the_partition_that_is_silent_longest_counts(worker: WorkerPlace) -> None:
    hear(worker, **{"totals/0": 1.0, "totals/1": 9.0, "totals/2": 2.0})

    assert silences_of([worker], 100.0) == {"totals": 9.0}


def test_a_loop_that_never_turned_and_a_rebuild_are_left_out(worker: WorkerPlace) -> None:
    hear(worker, **{"totals": None, "labels (rebuild)": 7.0})

    assert silences_of([worker], 100.0) == {}
