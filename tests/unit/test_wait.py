import asyncio
import time

from sidecar.events.wait import wait_at_most


async def test_event_ends_the_wait() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_at_most(event, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    await asyncio.wait_for(waiting, 5)


async def test_limit_ends_the_wait() -> None:
    began_mono = time.monotonic()
    await asyncio.wait_for(wait_at_most(asyncio.Event(), 0.01), 5)
    assert time.monotonic() - began_mono >= 0.009


async def test_cancellation_passes() -> None:
    waiting = asyncio.create_task(wait_at_most(asyncio.Event(), 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
