"""Waiting for an event, with a limit."""

import asyncio
from contextlib import suppress


async def wait_at_most(event: asyncio.Event, limit_seconds: float) -> None:
    """Return when the event is set, or after the limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_seconds):
            await event.wait()
