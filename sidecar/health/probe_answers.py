"""The answers that the probes give, judged anew only when something may have changed."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from sidecar.config.option import DrainReadiness
from sidecar.health.check import Probe
from sidecar.health.check_status import CheckStatus
from sidecar.health.monitor import Monitor
from sidecar.health.phase import Phase, Stage
from sidecar.health.verdict import (
    ProbeVerdict,
    judge_liveness,
    judge_readiness,
    judge_selection,
    judge_startup,
)

ANSWER_LIFE_SECONDS: Final = 0.5
"""How long observed values may lag in an answer; a change of outcome shows at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict with what it rests on; the same object as long as it holds.

    Attributes:
        statuses: The checks that were judged.
        unknown_names: Names asked for or excluded that no check bears.
        unknown_groups: Groups asked for that no check is in.
    """

    verdict: ProbeVerdict
    phase: Phase
    statuses: tuple[CheckStatus, ...] = ()
    unknown_names: tuple[str, ...] = ()
    unknown_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer and how long it holds."""

    answer: Answer
    revision: int
    until_mono: float


class ProbeAnswers:
    """Where the monitor's findings and the phase of the process become answers.

    Attributes:
        phase: Where the process is in its life; changed by `enter`.
    """

    def __init__(
        self,
        monitor: Monitor,
        *,
        drain_readiness: DrainReadiness = DrainReadiness.FAIL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.monitor: Final = monitor
        self._drain_readiness = drain_readiness
        self._clock = clock
        self.phase = Phase.STARTING
        self._stage = Stage.CONFIGURATION
        self._has_booted = False
        self._kept: dict[str, _Kept] = {}

    def enter(self, phase: Phase) -> None:
        """Move to a phase; every probe sees it with its next answer."""
        self.phase = phase
        self._kept.clear()

    def begin(self, stage: Stage) -> None:
        """Say what start-up is busy with."""
        self._stage = stage
        self._kept.clear()

    def liveness(self) -> Answer:
        """Answer `/health`: would a restart help?"""
        return self._answer("liveness", Probe.LIVENESS)

    def readiness(self) -> Answer:
        """Answer `/ready`: may traffic come?"""
        return self._answer("readiness", Probe.READINESS)

    def startup(self) -> Answer:
        """Answer `/startup`: has boot finished?"""
        return self._answer("startup", None)

    def select(
        self,
        probe: Probe,
        *,
        only: Collection[str] = (),
        groups: Collection[str] = (),
        exclude: Collection[str] = (),
    ) -> Answer:
        """Answer a probe for some of its checks.

        Args:
            probe: Whose checks.
            only: Names to judge alone, without the phase, each as if it were critical.
            groups: The same for all checks of these groups; with `only`, both are judged.
            exclude: Names to leave out; the phase still counts.
        """
        statuses = self._statuses(probe, self._clock())
        is_choice = bool(only or groups)
        chosen = tuple(
            status
            for status in statuses
            if status.name not in exclude
            and (not is_choice or status.name in only or not status.check.groups.isdisjoint(groups))
        )
        names = {status.name for status in statuses}
        known_groups = {group for status in statuses for group in status.check.groups}
        return Answer(
            judge_selection(chosen) if is_choice else self._judge(probe, chosen),
            self.phase,
            chosen,
            unknown_names=tuple(sorted({*only, *exclude} - names)),
            unknown_groups=tuple(sorted(set(groups) - known_groups)),
        )

    def _answer(self, key: str, probe: Probe | None) -> Answer:
        now_mono = self._clock()
        kept = self._kept.get(key)
        if (
            kept is not None
            and now_mono < kept.until_mono
            and kept.revision == self.monitor.revision
        ):
            return kept.answer
        answer = self._judge_anew(probe, now_mono)
        expiries = (status.expires_mono for status in answer.statuses)
        until_mono = min((now_mono + ANSWER_LIFE_SECONDS, *expiries))
        self._kept[key] = _Kept(answer, self.monitor.revision, until_mono)
        return answer

    def _judge_anew(self, probe: Probe | None, now_mono: float) -> Answer:
        """Answer a probe for its checks, or, for None, whether boot has finished."""
        if probe is not None:
            statuses = self._statuses(probe, now_mono)
            return Answer(self._judge(probe, statuses), self.phase, statuses)
        # A check that comes later does not take back that boot was over.
        waits = self.phase is Phase.RUNNING and not self._has_booted
        statuses = self._statuses(Probe.READINESS, now_mono) if waits else ()
        verdict = judge_startup(self.phase, self._stage, statuses)
        self._has_booted = self._has_booted or verdict.ok
        return Answer(verdict, self.phase)

    def _judge(self, probe: Probe, statuses: Collection[CheckStatus]) -> ProbeVerdict:
        if probe is Probe.LIVENESS:
            return judge_liveness(statuses)
        return judge_readiness(self.phase, statuses, self._drain_readiness)

    def _statuses(self, probe: Probe, now_mono: float) -> tuple[CheckStatus, ...]:
        return tuple(
            status for status in self.monitor.snapshot(now_mono) if status.check.probe is probe
        )
