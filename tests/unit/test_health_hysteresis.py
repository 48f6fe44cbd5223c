from hypothesis import given
from hypothesis import strategies as st

from sidecar.health.hysteresis import Damped, step
from sidecar.health.outcome import Outcome

outcomes = st.sampled_from(list(Outcome))
needs = st.integers(1, 5)


def walk(
    answers: list[Outcome], *, fail_after: int = 3, recover_after: int = 2
) -> list[Outcome | None]:
    damped = Damped()
    shown: list[Outcome | None] = []
    for answer in answers:
        damped = step(damped, answer, fail_after=fail_after, recover_after=recover_after)
        shown.append(damped.outcome)
    return shown


def test_three_failures_in_a_row_turn_a_check_and_two_passes_turn_it_back() -> None:
    p, f = Outcome.PASS, Outcome.FAIL

    assert walk([p, f, f, p, f, f, f, p, f, p, p]) == [p, p, p, p, p, p, f, f, f, f, p]


def test_a_boot_that_knows_nothing_yet_needs_no_repetition() -> None:
    p, u = Outcome.PASS, Outcome.UNKNOWN

    assert walk([u, u, p, u, u, u, p, p]) == [u, u, p, p, p, u, u, p]


def test_a_warning_shows_at_once_because_traffic_goes_on() -> None:
    assert walk([Outcome.PASS, Outcome.WARN])[-1] is Outcome.WARN


@given(first=outcomes, fail_after=needs, recover_after=needs)
def test_the_first_answer_counts_at_once(
    first: Outcome, fail_after: int, recover_after: int
) -> None:
    assert walk([first], fail_after=fail_after, recover_after=recover_after) == [first]


@given(answers=st.lists(outcomes, min_size=1), fail_after=needs, recover_after=needs)
def test_only_outcomes_that_were_given_are_shown(
    answers: list[Outcome], fail_after: int, recover_after: int
) -> None:
    shown = walk(answers, fail_after=fail_after, recover_after=recover_after)

    assert all(outcome in answers[: i + 1] for i, outcome in enumerate(shown))


@given(before=st.lists(outcomes, min_size=1), last=outcomes, fail_after=needs, recover_after=needs)
def test_an_answer_given_often_enough_is_always_shown(
    before: list[Outcome], last: Outcome, fail_after: int, recover_after: int
) -> None:
    needed = recover_after if last.is_sound else fail_after
    shown = walk(before + [last] * needed, fail_after=fail_after, recover_after=recover_after)

    assert shown[-1] is last


@given(last=outcomes, fail_after=needs, recover_after=needs)
def test_one_answer_too_few_turns_nothing(
    last: Outcome, fail_after: int, recover_after: int
) -> None:
    other = Outcome.FAIL if last.is_sound else Outcome.PASS
    needed = recover_after if last.is_sound else fail_after
    answers = [other] + [last] * (needed - 1)

    assert walk(answers, fail_after=fail_after, recover_after=recover_after)[-1] is other
