"""The one way in which tests wait for what has no signal."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

POLL_SECONDS: Final = 0.01


async def eventually(
    predicate: Callable[[], Awaitable[object]], within_seconds: float = 10.0
) -> None:
    """Poll until `predicate` returns something true; fail once the time is up."""
    deadline = time.monotonic() + within_seconds
    while not (last := await predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s; the last answer was {last!r}")
        await asyncio.sleep(POLL_SECONDS)
