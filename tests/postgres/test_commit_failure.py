"""What fails at the commit belongs to its event, wherever that is applied."""

from typing import Any, Final

import pytest

from sidecar.projections.projection import Projection
from sidecar.projections.retry import RetryPolicy
from tests.postgres import rebuilding, verifying
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
GOOD: Final = [f"s{number}" for number in range(1, 13) if number != 5]


class Deferrable(Projection):
    """Its table has a constraint trigger that is looked at when a transaction ends."""

    name = "r"
    handles = (Placed,)
    tables = ("r",)

    def __init__(self, *, eager: bool, partitions: int) -> None:
        self.eager = eager  # type: ignore[misc]  # one of the test's own
        self.partitions = partitions  # type: ignore[misc]  # likewise

    async def setup(self, connection: Any) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS r (k text, n int,"
            " CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)"
        )

    async def handle(self, event: Placed, connection: Any) -> None:
        # Twice the same number is put right before the end, except by the fifth.
        await connection.execute("INSERT INTO r VALUES ($1, $2)", event.order, event.amount)
        await connection.execute("INSERT INTO r VALUES ($1, $2)", event.order, event.amount)
        if event.amount != 5:
            await connection.execute("UPDATE r SET n = -n WHERE ctid = (SELECT max(ctid) FROM r)")


async def rows(stage: Stage, table: str = "r") -> set[str]:
    return {row["k"] for row in await stage.pool.fetch(f"SELECT k FROM {table}")}


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
async def test_constraint_that_is_deferred_parks_its_event_and_no_other(
    database: str, *, eager: bool, partitions: int
) -> None:
    projection = Deferrable(eager=eager, partitions=partitions)
    async with open_stage(database, projection, policy=ONCE) as stage:
        for number in range(1, 13):
            await stage.place(f"s{number}", number)
        await stage.catch_up()
        assert await rows(stage) == set(GOOD)
        [letter] = await stage.letters()
        assert (letter["stream"], letter["error_type"]) == ("s5", "UniqueViolationError")
        # What queues behind it is not lost, and a retry fails in the same way.
        await stage.place("s5", 50)
        await stage.retry()
        [letter] = await stage.letters()
        assert (letter["stream"], letter["attempts"]) == ("s5", 2)
        assert await stage.checkpoint("r") == 13


async def test_copies_find_it_as_well(database: str) -> None:
    async with open_stage(database, Deferrable(eager=False, partitions=1), policy=ONCE) as stage:
        for number in range(1, 13):
            await stage.place(f"s{number}", number)
        async with verifying.working(stage):
            await rebuilding.until_live(stage, "r")
            found = await verifying.verify(stage, "r")
            assert (found.state, found.compared_rows) == ("equal", 2 * len(GOOD))
        async with rebuilding.working(stage):
            await rebuilding.start(stage, "r")
            detail = await rebuilding.until_halted(stage, "r")
        assert "UniqueViolationError at position 5 (Placed, s5)" in detail
        assert await rows(stage) == set(GOOD)
