"""The one way in which these tests wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

POLL_SECONDS: Final = 0.02

T = TypeVar("T")


async def eventually(question: Callable[[], Awaitable[T]], within_seconds: float = 20.0) -> T:
    """Ask until the answer is truthy, and return it."""
    deadline_mono = time.monotonic() + within_seconds
    while True:
        answer = await question()
        if answer:
            return answer
        if time.monotonic() > deadline_mono:
            name = getattr(question, "__qualname__", repr(question))
            raise AssertionError(f"{name} was still {answer!r} after {within_seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)
