"""Connections that are checked out for too long: found, and logged once each."""

import asyncio
import logging
from typing import Final

from sidecar.postgres.pools.pool_usage import Checkout, PoolUsage

CHECK_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


async def watch_leaks(pool: PoolUsage) -> None:
    """Log leaks every second until cancelled."""
    while True:
        log_leaks(pool)
        await asyncio.sleep(CHECK_SECONDS)


def log_leaks(pool: PoolUsage) -> None:
    """Log each connection that is checked out for too long, with its holder, once."""
    for checkout, seconds in pool.overdue():
        if not checkout.is_leak_logged:
            checkout.is_leak_logged = True
            logger.warning(
                "Pool %r: a connection is held for %.0f s by task %s, which %s. Give it back with "
                "`async with pool.acquire()`, or do slow work without one.%s",
                pool.name,
                seconds,
                checkout.holder,
                _describe_task(checkout),
                _format_stack(checkout),
                extra={
                    "event": "sidecar.pool.leak",
                    "pool": pool.name,
                    "task": checkout.holder,
                    "held_seconds": round(seconds, 1),
                },
            )


def _describe_task(checkout: Checkout) -> str:
    task = None if checkout.task is None else checkout.task()
    if task is None or task.done():
        return "has ended without giving it back"
    frames = task.get_stack(limit=1)
    if not frames:
        return "is at work"
    code = frames[-1].f_code
    return f"is in {code.co_name} ({code.co_filename}:{frames[-1].f_lineno})"


def _format_stack(checkout: Checkout) -> str:
    if checkout.stack is None:
        return ""
    return "\nTaken at (most recent call last):\n" + "".join(checkout.stack.format()).rstrip()
