"""Measuring two sides in turn, and what is said of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

ROUNDS: Final = 5
POLL_SECONDS: Final = 0.01

Measure = Callable[[], Awaitable[float]]
"""Does the work of one round and returns its figure: a rate or a duration."""


class Pair(NamedTuple):
    """The medians of both sides; a benchmark against a fixed bound has no peer."""

    ours: float
    peer: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's."""
        return None if self.peer is None else self.ours / self.peer


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound: its text for the table, and whether a pair keeps it."""

    text: str
    holds: Callable[[Pair], bool]


def ratio_at_least(bound: float) -> Limit:
    return Limit(f"ratio >= {bound:g}", lambda pair: (pair.ratio or 0.0) >= bound)


def ratio_at_most(bound: float, note: str = "") -> Limit:
    text = f"ratio <= {bound:.3g}{note}"
    return Limit(text, lambda pair: pair.ratio is not None and pair.ratio <= bound)


def ours_at_most(bound: float, unit: str) -> Limit:
    return Limit(f"<= {bound:g} {unit}", lambda pair: pair.ours <= bound)


def no_limit() -> Limit:
    return Limit("-", lambda _pair: True)


def excess_at_most(bound: float, unit: str) -> Limit:
    return Limit(f"<= peer + {bound:g} {unit}", lambda pair: pair.ours - (pair.peer or 0) <= bound)


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table."""

    name: str
    unit: str
    pair: Pair
    limit: Limit
    peer_name: str | None = None

    @property
    def holds(self) -> bool:
        return self.limit.holds(self.pair)


class SkippedError(Exception):
    """A benchmark cannot run here; says what would make it."""


class BenchmarkError(Exception):
    """A benchmark came to nothing; the others still run."""


class WrongWorkError(BenchmarkError):
    """A side did not do what was measured, so its figure says nothing."""


def require_equal(found: object, expected: object, what: str) -> None:
    """Make sure that the work was done.

    Raises:
        WrongWorkError: It was not.
    """
    if found != expected:
        raise WrongWorkError(f"{what}: {found!r} instead of {expected!r}")


async def alternate(
    ours: Measure, peer: Measure, *, rounds: int = ROUNDS, warm_ups: int = 1
) -> Pair:
    """Measure both sides in turn, each first in every other round, and return the medians."""
    sides = (ours, peer)
    figures: tuple[list[float], list[float]] = ([], [])
    for number in range(-warm_ups, rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            figure = await sides[side]()
            if number >= 0:
                figures[side].append(figure)
    return Pair(median(figures[0]), median(figures[1]))


async def poll(is_true: Callable[[], Awaitable[bool]], *, limit_seconds: float) -> None:
    """Wait for what happens in another process, which nothing tells of.

    Raises:
        TimeoutError: It did not happen in time.
    """
    async with asyncio.timeout(limit_seconds):
        while True:
            if await is_true():
                return
            await asyncio.sleep(POLL_SECONDS)
