"""What a loop remembers of failures, to decide about the next one."""

from dataclasses import dataclass


@dataclass(slots=True)
class Trouble:
    """Attempts at one event, events left behind in a row, outages in a row.

    Attributes:
        outages: Failures in a row that pass by themselves.
    """

    outages: int = 0
    _position: int = 0
    _attempts: int = 0
    _streak_type: str = ""
    _streak: int = 0

    def count_attempt(self, position: int) -> int:
        """Return how often the event at `position` was tried, this time included."""
        self._attempts = self._attempts + 1 if position == self._position else 1
        self._position = position
        return self._attempts

    def suspects(self, position: int) -> bool:
        """Tell whether the event at `position` is the one that failed last."""
        return self._attempts > 0 and position == self._position

    def count_left(self, error_type: str) -> None:
        """Take note that an event was left behind: put off, or parked."""
        self._streak = self.streak_of(error_type) + 1
        self._streak_type = error_type

    def streak_of(self, error_type: str) -> int:
        """Return how many events in a row were left behind for this type of error."""
        return self._streak if error_type == self._streak_type else 0

    @property
    def has_streak(self) -> bool:
        """Whether events were left behind since the last one that was applied."""
        return self._streak > 0

    def clear_streak(self) -> None:
        """Take note that an event succeeded."""
        self._streak = 0
