"""What an incident is: a fault with the signals that it must have, and those it must not."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from tests.incidents.drills.stand import Plan, Stand

WITHIN_SECONDS: Final = 90.0

Fault = Callable[[Stand], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Alert:
    """Reaches the receiver: pager or mail, as its severity says, with every template filled in."""

    name: str
    within_seconds: float = WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Check:
    """Has this outcome, in `/api/status`; a reason is compared when given."""

    name: str
    outcome: str
    reason: str = ""
    within_seconds: float = WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Metric:
    """PromQL that has an answer."""

    query: str
    within_seconds: float = WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Log:
    """A new line of a sidecar's log with this event and these values."""

    event: str
    values: Mapping[str, object] = field(default_factory=dict)
    within_seconds: float = WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Letter:
    """An open row of `sidecar.dead_letters` with this type of error."""

    error_type: str
    within_seconds: float = WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Sentence:
    """What the text of the status page `/` must match, its tables included."""

    pattern: str
    within_seconds: float = WITHIN_SECONDS


Signal = Alert | Check | Metric | Log | Letter | Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """One of each kind; None says that this incident has no such signal, and why is obvious."""

    alert: Alert | None
    check: Check | None
    metric: Metric | None
    log: Log | None
    letter: Letter | None
    sentence: Sentence | None

    def all(self) -> dict[str, Signal]:
        """Return those that there are, by kind."""
        found: dict[str, Signal | None] = {
            "alert": self.alert,
            "check": self.check,
            "metric": self.metric,
            "log": self.log,
            "letter": self.letter,
            "sentence": self.sentence,
        }
        return {kind: signal for kind, signal in found.items() if signal is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One row of the table.

    Beside its own lines each drill holds to what holds always: `/health` answers 200, nobody is
    told of any other alert, no secret shows; after the cure the alert resolves, `/ready` is 200, no
    dead letter is open, no projection behind, nothing lost and nothing applied twice.

    Attributes:
        injected: How, in words.
        fault: Entering injects it, leaving cures it.
        symptoms: Alerts that come up, too, and must be silenced.
        told_too: Alerts that must be told as well: somebody else hears them.
        echoes: Alerts that may be told of after the cure, for they look back at what was.
        quiet: PromQL that must have had no answer at any moment from the fault to the cure.
        after: PromQL that must have an answer once it is cured.
        lasts_seconds: How long it goes on once all was told, for slower alerts to come up.
        answers: Whether `/health` can answer all the time.
    """

    name: str
    injected: str
    fault: Fault
    signals: Signals
    symptoms: frozenset[str] = frozenset()
    told_too: frozenset[str] = frozenset()
    echoes: frozenset[str] = frozenset()
    quiet: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    lasts_seconds: float = 10.0
    answers: bool = True

    @property
    def slug(self) -> str:
        """Return the name as a file's."""
        return "-".join(self.name.lower().split())
