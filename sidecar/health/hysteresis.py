"""Damping: a check turns only when its answers insist."""

from dataclasses import dataclass

from sidecar.health.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Damped:
    """Where a check stands.

    Attributes:
        outcome: What is shown; `None` before the first answer.
        contrary: Answers in a row that would turn it, and have not yet.
        is_known: Whether any answer was more than unknown.
    """

    outcome: Outcome | None = None
    contrary: int = 0
    is_known: bool = False


def step(damped: Damped, answer: Outcome, *, fail_after: int, recover_after: int) -> Damped:
    """Take one answer in.

    The first answer counts at once, and so does the first after a start without knowledge, so that
    boot waits for no repetition. An answer on the same side (sound or not) is shown at once too;
    only a change of side has to be insisted on.
    """
    shown = damped.outcome
    is_known = damped.is_known or answer is not Outcome.UNKNOWN
    if shown is None or not damped.is_known or shown.is_sound == answer.is_sound:
        return Damped(answer, 0, is_known)
    contrary = damped.contrary + 1
    needed = recover_after if answer.is_sound else fail_after
    if contrary >= needed:
        return Damped(answer, 0, is_known)
    return Damped(shown, contrary, is_known)
