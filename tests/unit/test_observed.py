"""One state is observed at a moment, and all that is shown of it agrees."""

import asyncio
import datetime as dt
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest

from sidecar.config.environ import Environ
from sidecar.events.types import EventTypes
from sidecar.health.history import History
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import warned
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.lint.linter import validate
from sidecar.lint.rules.event_versions import find_faults
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.postgres.samples.sample import Sample
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.supervisor import Supervisor
from sidecar.process.worker_place import WorkerPlace
from sidecar.projections.projection_sample import FailureSample
from sidecar.projections.projection_status import ProjectionStatus, Status
from sidecar.telemetry import metric
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.merge import Exposition
from sidecar.telemetry.pool_metrics import observe_pool
from sidecar.telemetry.setup import Telemetry
from sidecar.testing import ask
from sidecar.wiring.boot import prepare
from sidecar.wiring.checks.this_process import configuration_check
from sidecar.wiring.headline import describe
from sidecar.wiring.live import Examination
from sidecar.wiring.observed import SAMPLE_LIFE_SECONDS, Observer
from sidecar.wiring.probe_process import ProbeProcess
from sidecar.wiring.state_metrics import count_findings, to_numbers
from sidecar.wiring.status_json import to_json
from tests.unit.test_pool_report import Pool

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
TOTALS = ProjectionStatus("totals", "table", Status.FAILED, 10, 0, 0.0, 1, 1, (), NOW)
FAILURE = FailureSample(7, "totals", "s1", 10, "Placed", "KeyError", 1, None, NOW)
SAMPLE = Sample(NOW, 10, 10, 0.0, (), 0, (TOTALS,), (FAILURE,), {})
types = EventTypes()


@types.register(version=3)
@dataclass(frozen=True)
class OrderPlaced:
    customer: str


@pytest.fixture
def worker() -> Iterator[WorkerPlace]:
    with closing(WorkerPlace("worker-1", (), {})) as worker:
        yield worker


@pytest.fixture
def observer(worker: WorkerPlace) -> Observer:
    verdict = validate(Environ.of({"ENVIRONMENT": "test", "TELEMETRY": "x"}), now=NOW)
    return Observer(
        ProbeAnswers(Monitor()),
        Examination(verdict, {}),
        Exposition("probe"),
        supervisor=Supervisor([worker], hang_seconds=1.0),
    )


def report_a_hole(worker: WorkerPlace) -> None:
    """Report that no upcaster leads from the stored versions 1 and 2 to the present one."""
    worker.agent.heartbeat = Heartbeat(violations=tuple(find_faults(types, {"OrderPlaced": 3})))


async def test_what_a_worker_found_counts_wherever_findings_do(
    observer: Observer, worker: WorkerPlace
) -> None:
    examination = observer.examination
    check = configuration_check(examination.verdict, lambda: examination.verdict)
    report_a_hole(worker)
    state = observer.observe(NOW, 100.0)

    report = examination.report(NOW)
    severities = [each["severity"] for each in report["findings"]]
    assert report["status"] == "invalid"
    assert report["findings"][0]["id"] == "EVT01"
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert report["findings"] == [finding.as_dict() for finding in state.findings]
    assert to_json(state, History(), service="shop", version="1")["findings"] == report["findings"]
    assert count_findings(state)["EVT01", "error"] == 2
    answer = await ask(check)
    assert (answer.outcome, answer.reason) == (warned("").outcome, "configuration.invalid")


def test_a_worker_that_is_mended_takes_its_finding_back(
    observer: Observer, worker: WorkerPlace
) -> None:
    report_a_hole(worker)
    assert "EVT01" in {each.id for each in observer.observe(NOW, 100.0).findings}
    worker.agent.heartbeat = Heartbeat()
    assert "EVT01" not in {each.id for each in observer.observe(NOW, 101.0).findings}


def test_a_look_that_grows_old_is_in_a_state_as_a_whole_or_not_at_all(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = SimpleNamespace(sample=SAMPLE, sampled_mono=100.0)
    observer.database = cast("DatabasePoller", watch)
    young = observer.observe(NOW, 100.0 + SAMPLE_LIFE_SECONDS - 0.001)
    old = observer.observe(NOW, 100.0 + SAMPLE_LIFE_SECONDS)

    def no_clock() -> float:
        raise AssertionError("a state asked a clock")

    monkeypatch.setattr(time, "monotonic", no_clock)
    monkeypatch.setattr(time, "time", no_clock)
    shown = to_json(young, History(), service="shop", version="1")
    assert [each["name"] for each in shown["projections"]] == ["totals"]
    assert [each["id"] for each in shown["failures"]] == [7]
    assert "Projection totals is failed" in describe(young)
    assert to_numbers(young)[metric.HEAD] == 10
    shown = to_json(old, History(), service="shop", version="1")
    assert (shown["projections"], shown["failures"], shown["store"]) == ([], [], None)
    assert "totals" not in describe(old)
    assert metric.HEAD not in to_numbers(old)


def test_a_pool_of_a_process_that_falls_silent_is_shown_and_not_judged(
    observer: Observer, worker: WorkerPlace
) -> None:
    telemetry = Telemetry.start("shop", "app", version="1", environ={})
    observe_pool(telemetry, Pool("orders"))
    worker.agent.metrics = render_registry(telemetry.registry)
    telemetry.close()
    state = observer.observe(NOW, 100.0)
    pool = state.find_pool("worker-1", "orders")
    assert pool is not None
    assert pool.leaks == 2
    worker.agent.metrics = None
    state = observer.observe(NOW, 101.0)
    assert state.pools == {"worker-1": (pool,)}
    assert state.find_pool("worker-1", "orders") is None


def test_a_state_that_is_read_late_is_observed_again(observer: Observer) -> None:
    long_ago = observer.observe(NOW, time.monotonic() - 60.0)
    current = observer.current()
    assert current is not long_ago
    assert observer.current() is current


def test_a_newer_look_at_the_database_is_known_at_once(observer: Observer) -> None:
    watch = SimpleNamespace(sample=None, sampled_mono=None)
    observer.database = cast("DatabasePoller", watch)
    before = observer.current()
    assert observer.current() is before
    watch.sample, watch.sampled_mono = SAMPLE, time.monotonic()
    assert observer.current().projections == (TOTALS,)


def test_a_check_that_changed_and_a_drain_are_known_at_once(observer: Observer) -> None:
    before = observer.current()
    check = configuration_check(observer.examination.verdict, lambda: observer.examination.verdict)
    observer.answers.monitor.add(check)
    assert [status.name for status in observer.current().checks] == ["configuration"]
    assert observer.current() is observer.current() is not before
    observer.answers.enter(Phase.DRAINING)
    assert observer.current().phase is Phase.DRAINING


async def test_a_probe_process_that_is_only_made_leaves_the_interpreter_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: pytest.fail("it was changed"))
    monkeypatch.setenv("ENVIRONMENT", "test")
    await asyncio.to_thread(make_probe_process)


def make_probe_process() -> ProbeProcess:
    boot = prepare("probe", quiet=True)
    with closing(Telemetry.start("shop", "probe", version="1", environ={})) as telemetry:
        return ProbeProcess(boot, telemetry)
