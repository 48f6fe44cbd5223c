"""What became of one event that was published in process."""

from dataclasses import dataclass

from sidecar.events.subscriber import SubscriberKind


@dataclass(frozen=True, slots=True)
class Failure:
    """One subscriber's failure: what it raised, with its traceback."""

    kind: SubscriberKind
    name: str
    error: Exception

    @property
    def error_type(self) -> str:
        """The exception's class name."""
        return type(self.error).__name__


@dataclass(frozen=True, slots=True)
class PublishResult:
    """Who handled an event and who failed, each in the order of registration."""

    event_type: str
    handled: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def ok(self) -> bool:
        """Whether no subscriber failed."""
        return not self.failures

    @property
    def failed_projections(self) -> tuple[str, ...]:
        """Names of the projections that failed."""
        return tuple(f.name for f in self.failures if f.kind is SubscriberKind.PROJECTION)
