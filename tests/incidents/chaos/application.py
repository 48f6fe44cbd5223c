"""`python -m tests.incidents.chaos.application PORT SEED WRITERS`: an application under way.

Its writers append without end; some transactions are rolled back, some held before they commit,
some events are poison. What was acknowledged stands in the file `acknowledged`, a line per append.
"""

import asyncio
import os
import random
import sys
from contextlib import suppress
from typing import Final

import asyncpg

from sidecar import EventStore, MeteredPool, agent
from sidecar.errors import SidecarError
from tests.incidents.chaos.service import POISON
from tests.incidents.service import Paid, types

NAME: Final = "application"
ACKNOWLEDGED: Final = "acknowledged"
POOL_SIZE: Final = 6
MAX_PAUSE_SECONDS: Final = 0.04
MAX_EVENTS: Final = 4
ROLLED_BACK_RATIO: Final = 0.08
HELD_RATIO: Final = 0.04
MAX_HELD_SECONDS: Final = 0.2
POISON_RATIO: Final = 0.004
FRAIL_RATIO: Final = 0.05
ACCOUNTS: Final = 20


class Writer:
    """Appends to accounts of its own, so that no two writers meet in a stream."""

    def __init__(self, pool: MeteredPool, name: str, seed: str) -> None:
        self._pool: Final = pool
        self._store: Final = EventStore(pool, types)
        self._name: Final = name
        self._chance: Final = random.Random(seed)

    async def run(self) -> None:
        while True:
            with suppress(SidecarError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._append()
            await asyncio.sleep(self._chance.uniform(0, MAX_PAUSE_SECONDS))

    async def _append(self) -> None:
        events, lot = self._make_events(), self._chance.random()
        stream = f"account-{events[0].account}"
        if lot < ROLLED_BACK_RATIO + HELD_RATIO:
            committed = await self._append_by_hand(stream, events, lot < ROLLED_BACK_RATIO)
        else:
            committed = (await self._store.append(stream, events)).version
        if committed:
            acknowledge(stream, committed)

    async def _append_by_hand(self, stream: str, events: list[Paid], give_up: bool) -> int:  # noqa: FBT001
        """Append in a transaction that is rolled back, or held for a while; return the version."""
        async with self._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            appended = await self._store.append(stream, events, connection=connection)
            if give_up:
                await transaction.rollback()
                return 0
            await asyncio.sleep(self._chance.uniform(0, MAX_HELD_SECONDS))
            await transaction.commit()
            return appended.version

    def _make_events(self) -> list[Paid]:
        """Return payments to one account; only a frail one ever gets poison."""
        is_poison = self._chance.random() < POISON_RATIO
        is_frail = is_poison or self._chance.random() < FRAIL_RATIO
        account = (
            f"{self._name}-{'frail' if is_frail else 'sound'}{self._chance.randrange(ACCOUNTS)}"
        )
        count = self._chance.randint(1, MAX_EVENTS)
        memos = [POISON if is_poison else "", *[""] * (count - 1)]
        return [Paid(account, self._chance.randint(1, 10_000), memo) for memo in memos]


def acknowledge(stream: str, version: int) -> None:
    """Note in one write, which a kill cannot cut in two, up to where a stream was acknowledged."""
    target = os.open(ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(target, f"{stream} {version}\n".encode())
    finally:
        os.close(target)


async def main(port: int, seed: str, writers: int) -> None:
    pool = MeteredPool(
        os.environ["DATABASE_URL"],
        name=NAME,
        min_size=0,
        max_size=POOL_SIZE,
        acquire_timeout_seconds=2.0,
    )
    async with pool, agent(pool=pool, port=port), asyncio.TaskGroup() as tasks:
        for number in range(writers):
            tasks.create_task(Writer(pool, f"w{number}", f"{seed}-{number}").run())
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
