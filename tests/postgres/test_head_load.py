"""Writers as they are in life against an oracle: what was committed, and what was not."""

import asyncio
import random
from collections import Counter

import pytest

from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import Stage, open_stage

WRITERS = 16
ROLLED_BACK_RATIO = 0.08
HELD_RATIO = 0.04
HELD_SECONDS = 0.05
PROJECTIONS = ("first", "second", "third")


class Writer:
    """Appends to streams of its own and keeps account of what was committed."""

    def __init__(self, stage: Stage, number: int, seed: int) -> None:
        self.committed: list[int] = []
        self._stage = stage
        self._number = number
        self._random = random.Random(f"{seed}-{number}")

    async def run(self, ends_at: float) -> None:
        while asyncio.get_running_loop().time() < ends_at:
            await self._append()

    async def _append(self) -> None:
        lot = self._random.random()
        stream = f"order-{self._number}-{self._random.randrange(20)}"
        async with self._stage.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            appended = await self._stage.store.append(
                stream, [Placed(stream, 1)], connection=connection
            )
            if lot < ROLLED_BACK_RATIO:
                await transaction.rollback()
                return
            if lot < ROLLED_BACK_RATIO + HELD_RATIO:
                await asyncio.sleep(HELD_SECONDS)
            await transaction.commit()
            self.committed.append(appended.position)


@pytest.mark.timeout(1800)
async def test_every_committed_event_is_seen_once_and_every_dead_gap_recorded_once(
    cluster: Cluster, database: str, request: pytest.FixtureRequest
) -> None:
    seconds, seed = request.config.getoption("--load-seconds"), request.config.getoption("--seed")
    journals = [Journal(name) for name in PROJECTIONS]
    async with open_stage(database, *journals, max_connections=WRITERS + 10) as stage:
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())
        writers = [Writer(stage, number, seed) for number in range(WRITERS)]
        ends_at = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(writer.run(ends_at) for writer in writers))
        committed = sorted(position for writer in writers for position in writer.committed)

        async def is_caught_up() -> bool:
            checkpoints = [await stage.checkpoint(name) for name in PROJECTIONS]
            return min(checkpoints) >= committed[-1]

        await eventually(is_caught_up, within_seconds=30)
        worker.stop()
        await working
        for name in PROJECTIONS:
            await check_effects(stage, name, committed, seed)
        await check_skips(stage, committed, seed)


async def check_effects(stage: Stage, name: str, committed: list[int], seed: int) -> None:
    lines = await stage.lines(name)
    seen = Counter(line.position for line in lines)
    missing = set(committed) - seen.keys()
    assert not missing, f"{name} lost {len(missing)} of {len(committed)}; --seed {seed}"
    assert max(seen.values()) == 1, f"{name} saw an event twice; --seed {seed}"
    assert len(seen) == len(committed)
    assert [line.position for line in lines] == committed
    assert await stage.pool.fetchval(f"SELECT sum(amount) FROM {name}") == len(committed)


async def check_skips(stage: Stage, committed: list[int], seed: int) -> None:
    rows = await stage.pool.fetch(
        "SELECT generate_series(first_position, last_position) FROM sidecar.skipped_positions"
    )
    skipped = Counter(row[0] for row in rows)
    dead = set(range(1, committed[-1])) - set(committed)
    assert skipped.keys() == dead, f"--seed {seed}"
    assert not dead or max(skipped.values()) == 1
    assert await stage.pool.fetchval("SELECT count(*) FROM sidecar.events") == len(committed)
