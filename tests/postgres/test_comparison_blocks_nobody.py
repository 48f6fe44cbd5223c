"""While both copies of a read model are compared, nobody who reads or writes the live one waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.tables.table_comparison import TableComparer
from sidecar.projections.comparison import Part
from tests.postgres import rebuilding, verifying
from tests.postgres.rebuilding import Totals, fill, oracle, read, until_live
from tests.postgres.stage import Stage, open_stage, session


class Held:
    """A comparison that has looked, and ends no earlier than it may."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.may_end = asyncio.Event()

    def hold(self, compare: Callable[..., Awaitable[Part]]) -> Callable[..., Awaitable[Part]]:
        async def held(
            comparer: TableComparer, connection: RawConnection, after: tuple[str, ...] | None
        ) -> Part:
            part = await compare(comparer, connection, after)
            self.reached.set()
            await self.may_end.wait()
            return part

        return held


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held()
    monkeypatch.setattr(TableComparer, "compare", held.hold(TableComparer.compare))
    return held


@pytest.fixture(params=[1, 3], ids=["one-part", "three-parts"])
async def stage(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(database, Totals(partitions=request.param)) as stage:
        await fill(stage, 600, streams=10)
        yield stage


@pytest.mark.parametrize(
    ("start", "until_over"),
    [
        (verifying.start, verifying.until_ended),
        (rebuilding.start, rebuilding.until_swapped),
    ],
    ids=["verification", "rebuild"],
)
async def test_work_on_the_live_copy_goes_on(
    stage: Stage,
    held: Held,
    start: Callable[[Stage], Awaitable[None]],
    until_over: Callable[[Stage], Awaitable[object]],
) -> None:
    async with verifying.working(stage), session(stage.dsn, "stranger") as stranger:
        await until_live(stage)
        await start(stage)
        await held.reached.wait()
        await stranger.execute("SET lock_timeout = '5s'")
        await stranger.execute("UPDATE totals SET amount = amount")
        await stranger.execute("CREATE INDEX ON totals (amount)")
        for number in range(5):
            await stage.place(f"s{number}", number)
        await until_live(stage)
        held.may_end.set()
        await until_over(stage)
        await until_live(stage)
        assert await read(stage) == await oracle(stage)
