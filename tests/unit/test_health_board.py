from types import SimpleNamespace

import pytest

from sidecar.config.option import DrainReadiness
from sidecar.health.board import ANSWER_LIFE_SECONDS, Board
from sidecar.health.check import Check, Probe
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, Outcome, failed, passed
from sidecar.health.phase import Phase


async def never_asked() -> CheckResult:
    return passed()


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(mono=0.0)


@pytest.fixture
def board(clock: SimpleNamespace) -> Board:
    checks = [
        Check(name="loop", run=never_asked, probe=Probe.LIVENESS, in_process=True),
        Check(name="postgres", run=never_asked, fail_after=1),
        Check(name="disk", run=never_asked, fail_after=1, critical=False),
    ]
    monitor = Monitor(checks, clock=lambda: float(clock.mono))
    board = Board(monitor, clock=lambda: float(clock.mono))
    board.enter(Phase.RUNNING)
    return board


def tell(board: Board, **results: CheckResult) -> None:
    for name, result in results.items():
        board.monitor._take(board.monitor._watches[name], result)


def test_readiness_follows_its_own_checks_only(board: Board) -> None:
    tell(board, loop=failed("loop.stuck"), postgres=passed(), disk=passed())

    assert board.readiness().verdict.outcome is Outcome.PASS
    assert board.liveness().verdict.reasons == ("loop.stuck",)
    assert not board.liveness().verdict.ok


def test_an_answer_stays_the_same_object_until_something_changes(
    board: Board, clock: SimpleNamespace
) -> None:
    tell(board, postgres=passed(), disk=passed())
    first = board.readiness()
    clock.mono = ANSWER_LIFE_SECONDS / 2
    tell(board, postgres=passed(), disk=passed())
    assert board.readiness() is first

    tell(board, postgres=failed("postgres.unreachable"))
    second = board.readiness()
    assert second.verdict.reasons == ("postgres.unreachable",)

    board.enter(Phase.DRAINING)
    assert board.readiness().phase is Phase.DRAINING


def test_observed_values_lag_at_most_the_life_of_an_answer(
    board: Board, clock: SimpleNamespace
) -> None:
    tell(board, postgres=passed(1), disk=passed())
    board.readiness()
    tell(board, postgres=passed(2))

    clock.mono = ANSWER_LIFE_SECONDS
    assert [status.observed_value for status in board.readiness().statuses] == [2, None]


def test_an_answer_turns_stale_at_the_limit_and_not_a_moment_later(
    board: Board, clock: SimpleNamespace
) -> None:
    tell(board, postgres=passed(), disk=passed())
    clock.mono = 9.9
    assert board.readiness().verdict.ok

    clock.mono = 10.0
    verdict = board.readiness().verdict

    assert not verdict.ok
    assert verdict.reasons == ("disk.stale", "postgres.stale")


def test_nothing_is_ready_before_its_checks_have_answered(board: Board) -> None:
    verdict = board.readiness().verdict

    assert not verdict.ok
    assert verdict.reasons == ("disk.pending", "postgres.pending")


def test_a_draining_process_that_keeps_readiness_stays_ready() -> None:
    board = Board(Monitor(), drain_readiness=DrainReadiness.KEEP)
    board.enter(Phase.DRAINING)

    assert board.readiness().verdict.ok
    assert board.startup().verdict.ok


def test_a_new_board_is_starting() -> None:
    board = Board(Monitor())

    assert board.startup().verdict.reasons == ("process.starting", "startup.configuration")
    assert not board.readiness().verdict.ok
    assert board.liveness().verdict.ok


def test_a_selection_judges_the_named_checks_without_the_phase(board: Board) -> None:
    tell(board, postgres=passed(), disk=failed("disk.full"))
    board.enter(Phase.DRAINING)

    assert board.select(Probe.READINESS, only=["postgres"]).verdict.ok
    assert not board.select(Probe.READINESS, only=["disk"]).verdict.ok


def test_an_exclusion_leaves_the_phase_in_and_names_what_it_does_not_know(board: Board) -> None:
    tell(board, postgres=failed("postgres.unreachable"), disk=passed())

    answer = board.select(Probe.READINESS, exclude=["postgres", "nonsense"])
    assert answer.verdict.ok
    assert answer.unknown_names == ("nonsense",)

    board.enter(Phase.DRAINING)
    assert not board.select(Probe.READINESS, exclude=["postgres"]).verdict.ok
