"""Connections that somebody holds for too long: found, and told of once each."""

import asyncio
import logging
from typing import Final, Protocol

from sidecar.postgres.pool_usage import Checkout, PoolUsage

CHECK_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class Lender(Protocol):
    """A pool whose checkouts are counted."""

    @property
    def name(self) -> str:
        """The pool's name in metrics."""

    @property
    def usage(self) -> PoolUsage:
        """Who holds its connections."""

    @property
    def leak_limit_seconds(self) -> float:
        """How long a connection may be held before that counts as a leak."""


def count_leaks(pool: Lender) -> int:
    """Return how many connections are held for too long now."""
    return len(pool.usage.overdue(pool.leak_limit_seconds))


async def watch_leaks(pool: Lender) -> None:
    """Look every second until cancelled."""
    while True:
        log_leaks(pool)
        await asyncio.sleep(CHECK_SECONDS)


def log_leaks(pool: Lender) -> None:
    """Log each connection that is held for too long, with its holder, unless it has been told."""
    for checkout, seconds in pool.usage.overdue(pool.leak_limit_seconds):
        if not checkout.told:
            checkout.told = True
            logger.warning(
                "Pool %r: a connection is held for %.0f s by task %s, which %s. Give it back with "
                "`async with pool.acquire()`, or do slow work without one.%s",
                pool.name,
                seconds,
                checkout.holder,
                _say_where(checkout),
                _show_stack(checkout),
                extra={
                    "event": "sidecar.pool.leak",
                    "pool": pool.name,
                    "task": checkout.holder,
                    "held_seconds": round(seconds, 1),
                },
            )


def _say_where(checkout: Checkout) -> str:
    task = None if checkout.task is None else checkout.task()
    if task is None or task.done():
        return "has ended without giving it back"
    frames = task.get_stack(limit=1)
    if not frames:
        return "is at work"
    code = frames[-1].f_code
    return f"is in {code.co_name} ({code.co_filename}:{frames[-1].f_lineno})"


def _show_stack(checkout: Checkout) -> str:
    if checkout.stack is None:
        return ""
    return "\nTaken at (most recent call last):\n" + "".join(checkout.stack.format()).rstrip()
