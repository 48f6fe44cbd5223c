import datetime as dt
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.postgres.samples.sample import Sample
from sidecar.process.agent_poller import AgentPoller, Contact, PortProbe
from sidecar.process.application import Application
from sidecar.process.heartbeat import CheckReport, Heartbeat, parse_heartbeat
from sidecar.process.reader import AgentSilentError, UnreachableError
from sidecar.projections.drift import VerificationStatus
from sidecar.projections.interruption import Interruption
from sidecar.projections.projection_status import ProjectionStatus, Rebuild, Status
from sidecar.projections.table_change import Change, TableChange
from sidecar.telemetry.pool_metrics import PoolReport
from sidecar.testing import ask
from sidecar.wiring.checks.database import Advance, store_check
from sidecar.wiring.checks.process import (
    application_check,
    judge_application,
    judge_contact,
    pool_check,
    reported_check,
)
from sidecar.wiring.checks.read_model import judge_projection
from sidecar.wiring.observed import SAMPLE_LIFE_SECONDS

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
SAMPLE = Sample(NOW, 10, 10, 0.0, (), 0, (), (), {})
STANDING = ProjectionStatus(
    "totals", "table", Status.CAUGHT_UP, 10, 0, 0.0, 0, 0, ("worker-1",), NOW
)


def at(safe_head: int, head: int, held_seconds: float = 0.0) -> Sample:
    return replace(SAMPLE, safe_head=safe_head, head=head, held_seconds=held_seconds)


def test_a_head_that_moves_while_the_safe_head_stands_is_told_by_its_duration() -> None:
    advance = Advance()
    answers = [
        advance.judge(at(10, head), now_mono) for head, now_mono in ((11, 0), (12, 1), (13, 12))
    ]
    assert [answer.outcome for answer in answers] == ["pass", "pass", "warn"]
    assert answers[-1] == warned("event-store.held", 11.0, "s")
    assert advance.judge(at(10, 900), 62) == failed("event-store.stuck", 61.0, "s")
    assert advance.judge(at(11, 901), 63) == passed(11)


def test_a_store_without_new_events_advances_by_standing_still() -> None:
    advance = Advance()
    assert [advance.judge(at(10, 10), now_mono).outcome for now_mono in (0, 100, 200)] == [
        "pass"
    ] * 3


def test_what_its_follower_says_of_a_gap_counts_too() -> None:
    assert Advance().judge(at(10, 12, held_seconds=70.0), 0.0).reason == "event-store.stuck"


def watch(sample: Sample | None, age_seconds: float) -> DatabasePoller:
    made = DatabasePoller("postgresql://", application_name="test", auto_migrate=False)
    made.sample, made.sampled_mono = sample, time.monotonic() - age_seconds
    return made


async def test_a_watch_that_stopped_looking_never_passes() -> None:
    assert await ask(store_check(watch(SAMPLE, 0.0))) == passed(10)
    stale = await ask(store_check(watch(SAMPLE, SAMPLE_LIFE_SECONDS)))
    assert stale == CheckResult(Outcome.UNKNOWN, "event-store.stale")
    failed_watch = watch(SAMPLE, SAMPLE_LIFE_SECONDS)
    failed_watch.failed, failed_watch.trouble = True, "A lock."
    assert await ask(store_check(failed_watch)) == failed("event-store.unseen", detail="A lock.")


async def test_a_look_that_failed_leaves_the_last_one_for_its_life() -> None:
    young = watch(SAMPLE, SAMPLE_LIFE_SECONDS / 2)
    young.failed = True
    assert await ask(store_check(young)) == passed(10)


async def test_what_had_no_answer_for_long_is_warned_of() -> None:
    partly = watch(replace(SAMPLE, unanswered=("dead letters",)), 0.0)
    partly.trouble = "A lock."
    expected = warned("event-store.partly-unseen", detail="A lock.")
    assert await ask(store_check(partly)) == expected


DRIFTED = VerificationStatus(verified_at=dt.datetime(2026, 11, 30, tzinfo=dt.UTC), drift_rows=2)


@pytest.mark.parametrize(
    ("projection", "silent_seconds", "reason"),
    [
        (STANDING, 0.0, ""),
        (STANDING, 31.0, "totals.silent"),
        (replace(STANDING, status=Status.PAUSED), 31.0, "totals.paused"),
        (replace(STANDING, status=Status.UNOWNED), 0.0, "totals.unowned"),
        (replace(STANDING, status=Status.STALLED), 0.0, "totals.stalled"),
        (replace(STANDING, status=Status.FAILED), 0.0, "totals.failed"),
        (replace(STANDING, dead_letters=1), 0.0, "totals.dead-letters"),
        (replace(STANDING, verification=DRIFTED, dead_letters=1), 0.0, "totals.drifted"),
        (replace(STANDING, rebuild=Rebuild.HALTED), 0.0, "totals.rebuild-halted"),
        (replace(STANDING, lag_seconds=31.0), 0.0, "totals.late"),
        (replace(STANDING, rebuild=Rebuild.RUNNING, progress=0.5), 0.0, ""),
        (replace(STANDING, rebuild=Rebuild.RUNNING), 31.0, "totals.silent"),
        (replace(STANDING, rebuild=Rebuild.RUNNING, lag_seconds=31.0), 0.0, "totals.late"),
        (replace(STANDING, rebuild=Rebuild.HALTED, lag_seconds=31.0), 0.0, "totals.late"),
    ],
)
def test_a_projection_is_judged_by_all_that_is_known_of_it(
    projection: ProjectionStatus, silent_seconds: float, reason: str
) -> None:
    assert judge_projection("totals", projection, silent_seconds, 30.0).reason == reason


WAITING = Interruption(0.0, "DiskFullError", " (SQLSTATE 53100): the server's disk is full")
APPROVAL = "2 rows would vanish; `sidecar projections rebuild totals --yes`"
LOST = TableChange("totals", Change.EMPTIED, dt.datetime(2026, 11, 30, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "rebuild-halted"),
        ({"changes": (replace(LOST, change=Change.WRITTEN),)}, "rebuild-halted"),
        ({"dead_letters": 1}, "rebuild-halted"),
        ({"status": Status.PAUSED}, "rebuild-halted"),
        ({"changes": (LOST,)}, "emptied"),
        ({"verification": DRIFTED}, "drifted"),
        ({"status": Status.STALLED}, "stalled"),
    ],
)
def test_a_rebuild_that_waits_for_a_person_is_told_whatever_else_is_so(
    changes: dict[str, Any], reason: str
) -> None:
    waits = replace(STANDING, rebuild=Rebuild.HALTED, approval=APPROVAL, **changes)
    result = judge_projection("totals", waits, 0.0, 30.0)
    assert result.reason == f"totals.{reason}"
    assert result.detail == f"The rebuild of totals waits for a decision: {APPROVAL}"


def test_what_interrupts_a_projection_is_told_before_it_has_stalled_and_after() -> None:
    early = judge_projection("totals", STANDING, 0.0, 30.0, WAITING)
    late = judge_projection("totals", replace(STANDING, status=Status.STALLED), 0.0, 30.0, WAITING)
    assert (early.outcome, early.reason) == (Outcome.WARN, "totals.interrupted")
    assert (late.outcome, late.reason) == (Outcome.FAIL, "totals.stalled")
    assert early.detail == late.detail
    assert early.detail.startswith(
        "totals: interrupted since 00:00:00 UTC by DiskFullError (SQLSTATE 53100): the server's"
    )


def heard(seconds_ago: float | None = None, error: AgentSilentError | None = None) -> Contact:
    contact = Contact()
    if seconds_ago is not None:
        contact.answered()
        contact.answered_mono = time.monotonic() - seconds_ago
    if error is not None:
        contact.missed(error)
    return contact


@pytest.mark.parametrize(
    ("seconds_ago", "error", "outcome", "reason"),
    [
        (None, None, "unknown", "application.unheard"),
        (0.0, None, "pass", ""),
        (1.0, AgentSilentError(), "pass", ""),
        (2.5, AgentSilentError(), "fail", "application.silent"),
        (None, AgentSilentError(), "fail", "application.silent"),
        (0.0, UnreachableError(), "fail", "application.unreachable"),
    ],
)
def test_a_late_application_is_told_from_one_that_is_not_there(
    seconds_ago: float | None, error: AgentSilentError | None, outcome: str, reason: str
) -> None:
    answer = judge_contact(heard(seconds_ago, error))
    assert (answer.outcome.value, answer.reason) == (outcome, reason)


def application(*beats: Heartbeat | AgentSilentError) -> Application:
    """Make one of several processes, which told something or did not answer."""
    made = Application(None)
    members = []
    for number, beat in enumerate(beats, 1):
        poller = AgentPoller("http://agent")
        poller.contact.answered()
        if isinstance(beat, Heartbeat):
            poller.heartbeat = beat
        else:
            assert poller.contact.answered_mono is not None
            poller.contact.answered_mono -= 3.0
            poller.contact.missed(beat)
        poller.name = f"app-{number}"
        members.append(poller)
    made.members, made.is_known = tuple(members), True
    return made


@pytest.mark.parametrize(
    ("status", "lag_seconds", "expected"),
    [
        (200, 0.2, passed()),
        (302, 0.0, passed()),
        (200, 1.5, warned("application.late", 1.5, "s")),
        (404, 1.5, warned("application.refusing", 404)),
        (503, 0.0, failed("application.failing", 503)),
    ],
)
async def test_an_application_that_answers_is_judged_by_what_and_how_late(
    status: int, lag_seconds: float, expected: CheckResult
) -> None:
    port = PortProbe("http://127.0.0.1:8000/")
    port.status = status
    port.contact.answered()
    agents = application(Heartbeat(loop_lag_seconds=lag_seconds))
    answer = await ask(application_check(agents, port))
    assert (answer.outcome, answer.reason) == (expected.outcome, expected.reason)


SILENT, AWAY = AgentSilentError(), UnreachableError()


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        ((SILENT,), failed("application.silent")),
        ((AWAY, AWAY), failed("application.unreachable")),
        ((Heartbeat(), SILENT, SILENT), warned("application.silent", "app-2, app-3")),
        ((AWAY, Heartbeat()), warned("application.unreachable", "app-1")),
        ((Heartbeat(left_out=4), Heartbeat()), warned("application.left-out", 4)),
        ((Heartbeat(), Heartbeat(troubles={"pool": 1})), warned("application.limited", "pool")),
        ((Heartbeat(), Heartbeat(troubles={"port": 1, "socket": 1})), passed()),
        ((Heartbeat(schema="sidecar"),), passed()),
        (
            (Heartbeat(), Heartbeat(schema="billing")),
            warned("application.elsewhere", "billing"),
        ),
        ((), failed("application.ended")),
    ],
)
def test_one_process_that_is_not_well_is_named_while_another_answers(
    beats: tuple[Heartbeat | AgentSilentError, ...], expected: CheckResult
) -> None:
    answer = judge_application(application(*beats), time.monotonic())
    assert (answer.outcome, answer.reason) == (expected.outcome, expected.reason)
    if expected.outcome is Outcome.WARN:
        assert answer.observed_value == expected.observed_value


def tax(outcome: str, reason: str = "") -> Heartbeat:
    return parse_heartbeat({"checks": [{"name": "tax", "outcome": outcome, "reason": reason}]})


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        ((tax("pass"), tax("warn", "tax.slow")), warned("tax.slow")),
        ((tax("fail", "tax.away"), tax("pass")), failed("tax.away")),
        ((tax("pass"), SILENT), passed()),
        ((SILENT,), CheckResult(Outcome.UNKNOWN, "tax.unheard")),
        ((tax("pass").silenced(),), CheckResult(Outcome.UNKNOWN, "tax.unheard")),
    ],
)
async def test_a_check_of_the_application_is_as_bad_as_its_worst_process_says(
    beats: tuple[Heartbeat | AgentSilentError, ...], expected: CheckResult
) -> None:
    about = CheckReport("tax", Outcome.PASS, groups=("money",))
    made: Check = reported_check(about, application(*beats))
    assert await ask(made) == expected
    assert made.groups == {"application", "money"}


async def test_a_pool_that_is_full_for_a_moment_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(mono=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.mono)
    made = pool_check("pool-app", lambda: PoolReport("app", 5, 0, 5, 3, 0))
    run = made.run
    reasons = []
    for clock.mono in (0.0, 9.0, 11.0, 61.0):
        answer = run()
        assert not isinstance(answer, CheckResult)
        reasons.append((await answer).reason)
    assert reasons == ["", "", "pool-app.saturated", "pool-app.exhausted"]


async def test_a_pool_that_leaks_is_no_longer_sound() -> None:
    made = pool_check("pool-app", lambda: PoolReport("app", 2, 3, 5, 0, 0, leaks=2))
    assert await ask(made) == warned("pool-app.leaking", 2)
