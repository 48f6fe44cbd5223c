"""How often to poll: fast while something moves, slowly when nothing does. Pure."""

from typing import Final

FASTEST_SECONDS: Final = 0.005
SLOWEST_SECONDS: Final = 0.25
_GROWTH: Final = 1.5


def next_delay_seconds(delay_seconds: float, *, moved: bool) -> float:
    """Return the pause before the next poll, after one that did or did not find something new."""
    if moved:
        return FASTEST_SECONDS
    return min(delay_seconds * _GROWTH, SLOWEST_SECONDS)
