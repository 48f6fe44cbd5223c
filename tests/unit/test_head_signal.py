import asyncio
import time

from sidecar.projections.head_signal import HeadSignal


async def test_head_never_goes_back() -> None:
    head = HeadSignal()
    head.advance(7)
    head.advance(3)
    assert head.position == 7


async def test_waiting_for_what_is_reached_returns_at_once() -> None:
    head = HeadSignal()
    head.advance(7)
    await asyncio.wait_for(head.wait_beyond(6, 60), 1)


async def test_everyone_who_waits_is_woken_when_the_head_moves() -> None:
    head = HeadSignal()
    waiting = [asyncio.create_task(head.wait_beyond(0, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    head.advance(1)
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


async def test_wake_up_ends_the_wait_without_news() -> None:
    head = HeadSignal()
    waiting = asyncio.create_task(head.wait_beyond(0, 60))
    await asyncio.sleep(0)
    head.wake()
    await asyncio.wait_for(waiting, 1)
    assert head.position == 0


async def test_head_that_does_not_move_wakes_nobody_before_the_limit() -> None:
    head = HeadSignal()
    head.advance(5)
    waiting = asyncio.create_task(head.wait_beyond(5, 60))
    await asyncio.sleep(0)
    head.advance(5)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_wait_ends_with_its_limit() -> None:
    began = time.monotonic()
    await asyncio.wait_for(HeadSignal().wait_beyond(0, 0.01), 5)
    assert time.monotonic() - began >= 0.009


async def test_it_is_known_once_the_log_was_asked_also_where_that_is_empty() -> None:
    head = HeadSignal()
    known = [head.is_known]
    head.advance(0)
    known.append(head.is_known)
    head.restart()
    assert [*known, head.is_known] == [False, True, False]
