"""A setup that one worker's session survives and another's does not: nothing is left unowned."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from itertools import permutations
from typing import Final

import pytest

from sidecar.postgres.lease import LeaseTable
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition
from tests.postgres.eventually import eventually
from tests.postgres.setting_up import Broken, row_of, set_up
from tests.postgres.shop import Journal
from tests.postgres.stage import open_stage, session

SHARES: Final = 8
WIDE: Final = tuple(Partition("wide", index, 4) for index in range(4))
NARROW: Final = (Partition("narrow"),)
PLAIN: Final = (Partition("plain"),)
KNOWN: Final = ((*WIDE, *NARROW, *PLAIN), (*NARROW, *PLAIN), (*WIDE, *PLAIN), PLAIN)


async def test_failure_elsewhere_does_not_stop_a_worker_whose_own_setup_succeeded(
    database: str,
) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        broken.error = ZeroDivisionError()
        # Before the lease is taken, as between the setup of the first worker and its loops.
        assert await set_up(stage) == set()
        assert (await row_of(stage, "broken"))[0] == State.FAILED
        await stage.place("order", 1)
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())

        async def is_applied() -> bool:
            return await row_of(stage, "broken") == (State.RUNNING, None, 1)

        await eventually(is_applied)
        worker.stop()
        await working


@pytest.mark.parametrize("order", list(permutations(range(len(KNOWN)))))
async def test_each_partition_is_owned_by_somebody_who_can_run_it(
    database: str, order: tuple[int, ...]
) -> None:
    projections = (Journal("wide", partitions=4), Journal("narrow"), Journal("plain"))
    async with open_stage(database, *projections), AsyncExitStack() as stack:
        tables = []
        for number in order:
            connection = await stack.enter_async_context(session(database))
            tables.append(LeaseTable(connection, partial(KNOWN.__getitem__, number)))
            await tables[-1].join()
            await share(tables)
        for _ in range(SHARES):
            await share(tables)
        owned = [partition for table in tables for partition in table.mine]
        assert sorted(map(str, owned)) == sorted(map(str, KNOWN[0]))


async def share(tables: list[LeaseTable]) -> None:
    for table in tables:
        for partition in (await table.share())[1]:
            await table.release(partition)
