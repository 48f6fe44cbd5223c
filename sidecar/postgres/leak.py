"""Connections that somebody holds for too long: found, and told of once each."""

import asyncio
import logging
from typing import Final, Protocol

from sidecar.postgres.lending import Lending, Loan

CHECK_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class Lender(Protocol):
    """A pool whose loans are counted."""

    @property
    def name(self) -> str:
        """The pool's name in metrics."""

    @property
    def lending(self) -> Lending:
        """Who holds its connections."""

    @property
    def leak_limit_seconds(self) -> float:
        """How long a connection may be held before that counts as a leak."""


def count_leaks(pool: Lender) -> int:
    """Return how many connections are held for too long now."""
    return len(pool.lending.overdue(pool.leak_limit_seconds))


async def watch_leaks(pool: Lender) -> None:
    """Look every second until cancelled."""
    while True:
        tell_leaks(pool)
        await asyncio.sleep(CHECK_SECONDS)


def tell_leaks(pool: Lender) -> None:
    """Log each connection that is held for too long, with its holder, unless it has been told."""
    for loan, seconds in pool.lending.overdue(pool.leak_limit_seconds):
        if not loan.told:
            loan.told = True
            logger.warning(
                "Pool %r: a connection is held for %.0f s by task %s, which %s. Give it back with "
                "`async with pool.acquire()`, or do slow work without one.%s",
                pool.name,
                seconds,
                loan.holder,
                _say_where(loan),
                _show_stack(loan),
                extra={
                    "event": "sidecar.pool.leak",
                    "pool": pool.name,
                    "task": loan.holder,
                    "held_seconds": round(seconds, 1),
                },
            )


def _say_where(loan: Loan) -> str:
    task = None if loan.task is None else loan.task()
    if task is None or task.done():
        return "has ended without giving it back"
    frames = task.get_stack(limit=1)
    if not frames:
        return "is at work"
    code = frames[-1].f_code
    return f"is in {code.co_name} ({code.co_filename}:{frames[-1].f_lineno})"


def _show_stack(loan: Loan) -> str:
    if loan.stack is None:
        return ""
    return "\nTaken at (most recent call last):\n" + "".join(loan.stack.format()).rstrip()
