"""Counts as plain integers: 0.05 µs each, read by the telemetry when it collects."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

OTHER: Final = "_OTHER"
MAX_EVENT_TYPES: Final = 1000
MAX_ERROR_TYPES: Final = 20


class BoundedCounts(dict[str, int]):
    """Counts by label; labels past the limit are folded into `_OTHER`."""

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def add(self, label: str) -> None:
        """Count one."""
        if label not in self and len(self) >= self._limit:
            label = OTHER
        self[label] = self.get(label, 0) + 1


class FailureCounts(BoundedCounts):
    """Failures by error type, and the last one.

    Attributes:
        last_type: Of the last failure; empty before the first.
        last_mono: Monotonic time of it; None before the first.
    """

    __slots__ = ("last_mono", "last_type")

    def __init__(self) -> None:
        super().__init__(MAX_ERROR_TYPES)
        self.last_type = ""
        self.last_mono: float | None = None

    @override
    def add(self, label: str) -> None:
        """Count a failure and remember it as the last."""
        super().add(label)
        self.last_type, self.last_mono = label, time.monotonic()


@dataclass(slots=True)
class SubscriberTally:
    """What one subscriber did: events handled, failures by error type."""

    handled: int = 0
    failures: FailureCounts = field(default_factory=FailureCounts)


class PublishTally:
    """What one publisher did since it was made: events by type, and each subscriber's, by name."""

    __slots__ = ("handlers", "projections", "published")

    def __init__(self) -> None:
        self.published: Final = BoundedCounts(MAX_EVENT_TYPES)
        self.handlers: Final[defaultdict[str, SubscriberTally]] = defaultdict(SubscriberTally)
        self.projections: Final[defaultdict[str, SubscriberTally]] = defaultdict(SubscriberTally)
