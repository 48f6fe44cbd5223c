"""One stream's events, each with its statements and the rows that it changes."""

from sidecar.postgres.stepper import RowChange, Step, open_stepper
from tests.postgres import rebuilding
from tests.postgres.rebuilding import Totals
from tests.postgres.stage import Stage, open_stage


async def step(
    stage: Stage, stream: str, from_version: int = 1, upto_version: int | None = None
) -> list[Step]:
    async with stage.pool.acquire() as raw:
        subscription = stage.subscriptions["totals"]
        async with open_stepper(raw, subscription, stage.publisher.types) as stepper:
            steps = stepper.steps(stream, from_version, upto_version)
            return [each async for each in steps]


async def test_each_event_is_shown_with_what_it_does(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 3)
        await stage.place("b", 1)
        await stage.place("a", 4)
        await stage.catch_up()
        before = await rebuilding.read(stage)
        first, second = await step(stage, "a")
        assert first.changes == (
            RowChange("totals", None, {"stream": "a", "amount": 3, "events": 1}),
        )
        assert second.changes == (
            RowChange(
                "totals",
                {"stream": "a", "amount": 3, "events": 1},
                {"stream": "a", "amount": 7, "events": 2},
            ),
        )
        (statement,) = second.statements
        assert statement.query.startswith("INSERT INTO totals")
        assert statement.parameters == ("'a'", "4")
        assert await rebuilding.read(stage) == before
        assert not await stage.pool.fetchval("SELECT to_regnamespace('sidecar_step')")


async def test_a_part_of_a_stream_begins_with_what_came_before_it(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2, 4, 8)
        (one, two) = await step(stage, "a", 2, 3)
        assert [one.record.version, two.record.version] == [2, 3]
        assert one.changes[0].before == {"stream": "a", "amount": 1, "events": 1}


async def test_an_event_that_fails_is_shown_with_its_error_and_the_next_goes_on(
    database: str,
) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("a", 1)
        await stage.place("a", 1000, order="bad")
        await stage.place("a", 2)
        first, failed, third = await step(stage, "a")
        assert type(failed.error).__name__ == "BrokenOrderError"
        assert (failed.changes, first.error, third.error) == ((), None, None)
        assert third.changes[0].after == {"stream": "a", "amount": 3, "events": 2}
