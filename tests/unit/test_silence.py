"""For how long a projection's loop has been silent, whatever the clock on the wall says."""

from sidecar.process.heartbeat import Heartbeat, LoopReport
from sidecar.process.worker_place import WorkerStatus
from sidecar.wiring.observed import ObservedState


def ages(*loops: LoopReport, now_mono: float = 100.0) -> dict[str, float]:
    worker = WorkerStatus("worker-1", heartbeat=Heartbeat(projections=loops), reported_mono=100.0)
    return dict(ObservedState(now_mono=now_mono, workers=(worker,)).loop_ages)


def loop(projection: str, age: float | None, index: int = 0, copy: str = "live") -> LoopReport:
    return LoopReport(projection, index, copy, age)


def test_what_a_worker_reported_gets_older_with_its_answer() -> None:
    found = ages(loop("totals", 0.5), loop("labels", 2.0), now_mono=103.0)
    assert found == {"totals": 3.5, "labels": 5.0}


def test_the_partition_that_is_silent_longest_counts() -> None:
    found = ages(loop("totals", 1.0), loop("totals", 9.0, 1), loop("totals", 2.0, 2))
    assert found == {"totals": 9.0}


def test_a_loop_that_never_turned_and_a_rebuild_are_left_out() -> None:
    assert ages(loop("totals", None), loop("labels", 7.0, copy="rebuild")) == {}


def test_a_name_may_look_like_a_partition_or_a_rebuild() -> None:
    names = ("billing/invoices", "totals (rebuild)", "totals/1")
    assert ages(*(loop(name, 40.0) for name in names)) == dict.fromkeys(names, 40.0)
