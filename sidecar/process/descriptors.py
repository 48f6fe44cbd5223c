"""How many files and connections this process may have open."""

import resource
from contextlib import suppress
from typing import Final

ENOUGH: Final = 65_536
"""More than any process here opens; where the hard limit is far above, programs that walk through
all of it when they start another would take seconds."""


def raise_limit() -> int:
    """Raise the limit of open files as far as it goes, up to `ENOUGH`, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = raised(soft, hard)
    if wanted != soft:
        # macOS has a lower one, which it does not show.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def raised(soft: int, hard: int) -> int:
    """Return the soft limit to set: never a lower one."""
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH:
        return soft
    return ENOUGH if hard == resource.RLIM_INFINITY else max(soft, min(hard, ENOUGH))


def share(limit: int, most: int) -> int:
    """Return how many of them clients may have, `most` at most: half, and the rest is for us."""
    return min(most, max(limit // 2, 1))
