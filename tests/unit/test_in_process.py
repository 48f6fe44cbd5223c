"""What fails where an application publishes reaches a person, and is told for a while."""

import asyncio
import datetime as dt
import time

import pytest

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import SubscriberKind
from sidecar.events.tally import PublishTally
from sidecar.health.outcome import CheckResult, passed, warned
from sidecar.process.application import ProcessStatus
from sidecar.process.heartbeat import Heartbeat, SubscriberReport, report_subscribers
from sidecar.projections.projection_sample import DeadLetterCount
from sidecar.telemetry.instrumented_publisher import InstrumentedPublisher
from sidecar.wiring.in_process import (
    WARN_SECONDS,
    InProcess,
    SubscriberStatus,
    describe_failures,
    fold,
    judge,
)
from sidecar.wiring.status_json import subscriber_to_json

KIND = SubscriberKind.PROJECTION
LETTERS = DeadLetterCount(2, 0, dt.datetime(2026, 11, 24, tzinfo=dt.UTC))


class Totals:
    name = "totals"

    async def handle(self, event: object) -> None:
        if event == "bad":
            raise KeyError(event)


class TheirPublisher:
    def __init__(self) -> None:
        self._projections = [Totals()]

    async def publish(self, event: object) -> None:
        for projection in self._projections:
            try:
                await projection.handle(event)
            except KeyError:
                continue


def of_ours() -> PublishTally:
    publisher = EventPublisher()
    publisher.add_projection(Totals())
    for event in ("good", "bad", "good"):
        asyncio.run(publisher.publish(event))
    return publisher.tally


def of_theirs() -> PublishTally:
    publisher = TheirPublisher()
    instrumented = InstrumentedPublisher(publisher)
    for event in ("good", "bad", "good"):
        asyncio.run(publisher.publish(event))
    return instrumented.tally


@pytest.mark.parametrize("tallied", [of_ours, of_theirs])
def test_a_projection_of_any_publisher_is_told_with_its_last_failure(tallied: object) -> None:
    assert callable(tallied)
    [told] = report_subscribers(tallied(), time.monotonic())
    assert (told.kind, told.name, told.handled, told.failed) == (KIND, "totals", 2, 1)
    assert told.error_type == "KeyError"
    assert told.failed_seconds_ago is not None
    assert 0 <= told.failed_seconds_ago < 5


def test_those_that_failed_last_are_told_first_for_only_so_many_are() -> None:
    tally = PublishTally()
    for name in ("a", "b", "c"):
        tally.projections[name].handled += 1
    tally.handlers["d"].failures.add("KeyError")
    assert [told.name for told in report_subscribers(tally, time.monotonic())] == list("dabc")


def process(
    name: str, answered_mono: float, handled: int, failed: int = 0, ago: float | None = None
) -> ProcessStatus:
    error_type = "" if ago is None else "KeyError"
    report = SubscriberReport(KIND, "totals", handled, failed, error_type, ago)
    return ProcessStatus(name, Heartbeat(subscribers=(report,)), answered_mono)


def test_what_several_processes_tell_is_one_projection_with_the_latest_failure() -> None:
    processes = [process("app-1", 100.0, 5, 1, 30.0), process("app-2", 99.0, 7, 2, 4.0)]
    folded = fold([*processes, process("app-3", 100.0, 1)], {}, 100.0)
    assert folded == {
        ("projection", "totals"): InProcess(
            KIND, "totals", ("app-1", "app-2", "app-3"), 13, 3, "KeyError", 95.0
        )
    }
    [one] = folded.values()
    assert describe_failures([one], 100.0) == [
        "Projection totals failed in the application 3 times, last with KeyError."
    ]


def test_a_failure_is_remembered_when_its_process_has_ended_but_not_for_ever() -> None:
    first = fold([process("app-1", 100.0, 5, 1, 0.0)], {}, 100.0)
    gone = fold([], first, 130.0)
    [one] = gone.values()
    assert (one.owners, one.failed_mono) == ((), 100.0)
    restarted = fold([process("app-1", 131.0, 0)], gone, 131.0)
    assert [each.failed_lately(131.0) for each in restarted.values()] == [True]
    assert fold([], gone, 100.0 + WARN_SECONDS) == {}


@pytest.mark.parametrize(
    ("one", "letters", "now_mono", "expected"),
    [
        (InProcess(KIND, "totals", failed=3, failed_mono=10.0), None, 20.0, warned("p.failing", 3)),
        (InProcess(KIND, "totals", failed=3, failed_mono=10.0), None, 310.0, passed(3)),
        (InProcess(KIND, "totals"), LETTERS, 20.0, warned("p.dead-letters", 2)),
        (None, LETTERS, 20.0, warned("p.dead-letters", 2)),
        (InProcess(KIND, "totals"), None, 20.0, passed(0)),
    ],
)
def test_a_failure_of_the_last_minutes_warns_and_so_does_what_is_open(
    one: InProcess | None, letters: DeadLetterCount | None, now_mono: float, expected: CheckResult
) -> None:
    assert judge("p", one, letters, now_mono) == expected


def test_what_is_shown_has_the_keys_of_what_workers_run_and_no_lag_that_nobody_knows() -> None:
    now = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
    one = InProcess(KIND, "totals", ("app-1",), 4, 1, "KeyError", 90.0)
    row = subscriber_to_json(SubscriberStatus.of(one, {"totals": LETTERS}, 100.0, now))
    assert row["status"] == "in_process"
    assert row["lag_seconds"] is None
    assert row["last_failure"] == {"error_type": "KeyError", "at": "2026-11-24T11:59:50+00:00"}
    assert row["detail"] == "handled 4, failed once, last KeyError"
    assert row["dead_letters"] == 2
