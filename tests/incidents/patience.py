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


async def while_it_moves(look: Callable[[], Awaitable[object]], stall_seconds: float) -> None:
    """Ask until nothing is left, however long that takes while each answer differs from the last.

    Raises:
        AssertionError: The answer stayed the same for so long.
    """
    before: object = None
    deadline_mono = 0.0
    while left := await look():
        if left != before:
            before, deadline_mono = left, time.monotonic() + stall_seconds
        elif time.monotonic() > deadline_mono:
            raise AssertionError(f"nothing moved for {stall_seconds:g} s: {left!r}")
        await asyncio.sleep(POLL_SECONDS)
