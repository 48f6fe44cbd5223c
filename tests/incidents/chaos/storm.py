"""Faults of all kinds at random moments, several at a time, and the list of what was done."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tests.incidents.chaos import network_fault, process_fault, replay, server_fault, upkeep
from tests.incidents.chaos.crew import OUTAGES, Crew

LANES: Final = 3
MAX_CALM_SECONDS: Final = 1.5

Fault = Callable[[Crew, random.Random], Awaitable[str]]

FAULTS: Final[dict[Fault, int]] = {
    process_fault.kill_worker: 3,
    process_fault.kill_serve: 2,
    process_fault.kill_application: 2,
    process_fault.pause_worker: 2,
    process_fault.pause_owner_past_its_lease: 3,
    process_fault.lose_collector: 1,
    server_fault.end_session: 4,
    server_fault.restart_postgres: 2,
    server_fault.freeze_postgres: 2,
    server_fault.hold_head: 3,
    server_fault.hold_head_prepared: 1,
    network_fault.cut_network: 2,
    network_fault.freeze_network: 2,
    network_fault.slow_network: 1,
    upkeep.rebuild: 2,
    upkeep.rebuild_and_kill: 2,
    upkeep.rebuild_and_cancel: 2,
    upkeep.retry: 3,
    upkeep.retry_all: 1,
    upkeep.give_up: 2,
    upkeep.fall_ill: 1,
    replay.verify: 3,
    replay.verify_in_background: 1,
    replay.verify_and_cancel: 1,
}
"""What is done, and how often in proportion to the rest."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault that was made; seconds since the beginning."""

    began_seconds: float
    ended_seconds: float
    lane: int
    name: str
    told: str

    def __str__(self) -> str:
        return (
            f"{self.began_seconds:7.2f} .. {self.ended_seconds:7.2f}  lane {self.lane}  "
            f"{self.name}: {self.told}"
        )


class Storm:
    """Lanes that each make one fault after another, whatever the others do just then.

    Attributes:
        strikes: What was done, in the order of its end.
    """

    def __init__(self, crew: Crew) -> None:
        self.strikes: Final[list[Strike]] = []
        self._crew: Final = crew
        self._began_mono = time.monotonic()

    async def run(self, seconds: float) -> None:
        self._began_mono = time.monotonic()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._crew.watch_health())
            lanes = [group.create_task(self._rage(lane, seconds)) for lane in range(LANES)]
            lanes.append(group.create_task(self._swap(seconds)))
            await asyncio.wait(lanes)
            watching.cancel()

    @property
    def swaps(self) -> int:
        """How many rebuilds were followed to their swap."""
        return sum(strike.told.endswith(replay.SWAPPED) for strike in self.strikes)

    def count(self) -> dict[str, int]:
        """Return how often each fault was made."""
        return dict(sorted(Counter(strike.name for strike in self.strikes).items()))

    async def _rage(self, lane: int, seconds: float) -> None:
        chance = random.Random(f"{self._crew.seed}-{lane}")
        while self._now() < seconds:
            (fault,) = chance.choices(list(FAULTS), list(FAULTS.values()))
            await self._strike(lane, fault, random.Random(chance.random()))
            await asyncio.sleep(chance.uniform(0, MAX_CALM_SECONDS))

    async def _swap(self, seconds: float) -> None:
        """Swap a read model about every ten seconds, whatever the lanes do to it."""
        chance = random.Random(f"{self._crew.seed}-swaps")
        while (began_seconds := self._now()) < seconds:
            await self._strike(LANES, replay.swap_again, chance)
            next_seconds = min(began_seconds + replay.SWAP_SECONDS, seconds)
            await asyncio.sleep(max(next_seconds - self._now(), 0))

    async def _strike(self, lane: int, fault: Fault, chance: random.Random) -> None:
        began_seconds, told = self._now(), "failed"
        try:
            told = await fault(self._crew, chance)
        except OUTAGES as error:
            # Another lane has taken the server away.
            told = f"missed, {type(error).__name__}"
        finally:
            name = getattr(fault, "__name__", repr(fault))
            self.strikes.append(Strike(began_seconds, self._now(), lane, name, told))

    def _now(self) -> float:
        return time.monotonic() - self._began_mono
