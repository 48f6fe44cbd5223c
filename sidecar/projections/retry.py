"""What to do about an event that failed: try again and when, park its stream, or halt. Pure."""

from dataclasses import dataclass
from typing import ClassVar, Final

from sidecar.projections.observer import Action

FIRST_DELAY_SECONDS: Final = 0.1
MAX_DELAY_SECONDS: Final = 30.0
MAX_PARK_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Let the event's stream wait, go on with the rest, and try the event again after a while."""

    action: ClassVar = Action.RETRY
    after_seconds: float


@dataclass(frozen=True, slots=True)
class Park:
    """Keep the event as a dead letter, let its stream queue behind it, go on with the rest."""

    action: ClassVar = Action.PARK


@dataclass(frozen=True, slots=True)
class StopBefore:
    """Apply nothing behind the event, and try it again after a while."""

    action: ClassVar = Action.RETRY
    after_seconds: float


@dataclass(frozen=True, slots=True)
class Halt:
    """Apply nothing behind the event until a person has decided."""

    action: ClassVar = Action.HALT


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds on retries, for a copy that goes around what fails.

    Attributes:
        max_attempts: Tries per event before its stream is parked, the first included.
        park_seconds: After how long a parked stream is tried again without being asked; doubles
            with each failure, up to a day. None waits to be asked.
        max_streak: After so many events in a row were parked for the same type of error, the next
            ones are parked at once: the handler is broken, waiting for it only delays the rest.
    """

    max_attempts: int = 3
    max_streak: int = 3
    park_seconds: float | None = None
    goes_around: ClassVar[bool] = True

    def decide(self, attempt: int, streak: int, jitter_ratio: float) -> Retry | Park:
        """Decide about an error that is not transient, by the event's attempts, from 1.

        The streak is of events parked in a row for this type of error, just before this one.
        """
        if attempt >= self.max_attempts or streak >= self.max_streak:
            return Park()
        return Retry(delay_seconds(attempt, jitter_ratio))

    def park_delay_seconds(self, attempt: int) -> float | None:
        """Return after how long a stream parked at this attempt is tried again; None for never."""
        if self.park_seconds is None:
            return None
        doublings = min(max(attempt - self.max_attempts, 0), 32)
        return min(self.park_seconds * 2.0**doublings, MAX_PARK_SECONDS)


@dataclass(frozen=True, slots=True)
class GaplessPolicy:
    """The same bounds, for a copy that must have no holes."""

    bounds: RetryPolicy
    goes_around: ClassVar[bool] = False

    def decide(self, attempt: int, streak: int, jitter_ratio: float) -> StopBefore | Halt:
        """Decide as `RetryPolicy` does, but stop where that would go on."""
        match self.bounds.decide(attempt, streak, jitter_ratio):
            case Retry(after_seconds):
                return StopBefore(after_seconds)
            case Park():
                return Halt()


def delay_seconds(attempt: int, jitter_ratio: float) -> float:
    """Return a capped exponential delay with full jitter, never below half of its step.

    Attempts count from 1, jitter is random, 0..1.
    After https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    step = min(FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 16), MAX_DELAY_SECONDS)
    return step * (0.5 + 0.5 * jitter_ratio)
