"""One stream's events, each with its statements and the rows that it changes."""

import asyncio
from typing import Any

import pytest
from typing_extensions import override

from sidecar.errors import ProjectionError
from sidecar.events.record import RecordedEvent
from sidecar.postgres.verify.stepper import RowChange, Step, open_stepper
from tests.postgres import rebuilding
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Mailer, Placed
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
        left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sidecar_step%'"
        assert await stage.pool.fetchval(left) == 0


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


class Notes(Totals):
    """Writes in all ways: by COPY, in lots, the same row twice, or to the live table."""

    @override
    async def setup(self, connection: Any) -> None:
        # The column's name is that of a usual alias.
        await connection.execute("CREATE TABLE IF NOT EXISTS totals (t text, n numeric)")

    @override
    async def handle(self, event: Placed, connection: Any, record: RecordedEvent) -> None:
        match event.order:
            case "copy":
                raw = await connection.raw()
                await raw.copy_records_to_table("totals", records=[("copied", 1)])
            case "twice":
                await connection.executemany("INSERT INTO totals VALUES ($1, 1.10)", [["x"]] * 2)
            case "stray":
                await connection.execute("INSERT INTO public.totals VALUES ('live', 1)")
            case "truncate":
                await connection.execute("TRUNCATE totals")
            case _:
                """Write nothing."""


async def test_rows_are_whole_and_counted_however_they_were_written(database: str) -> None:
    async with open_stage(database, Notes()) as stage:
        for order in ("copy", "twice", "nothing", "truncate"):
            await stage.place("a", 1, order=order)
        copied, twice, nothing, truncated = await step(stage, "a")
    assert [change.after for change in copied.changes] == [{"t": "copied", "n": 1}]
    assert [str(change.after["n"]) for change in twice.changes if change.after] == ["1.10"] * 2
    assert (nothing.is_handled, nothing.statements, nothing.changes) == (True, (), ())
    assert len(truncated.changes) == 3
    assert [statement.query for statement in truncated.statements] == ["TRUNCATE totals"]


async def test_event_that_writes_to_the_live_table_is_undone_and_the_next_is_shown(
    database: str,
) -> None:
    async with open_stage(database, Notes()) as stage:
        for order in ("stray", "copy"):
            await stage.place("a", 1, order=order)
        stray, copied = await step(stage, "a")
        assert "public.totals" in str(stray.error)
        assert stray.changes == ()
        assert len(copied.changes) == 1
        assert await count_live(stage) == 0


async def count_live(stage: Stage) -> int:
    return int(await stage.pool.fetchval("SELECT count(*) FROM public.totals"))


async def test_two_step_at_once(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        await stage.place("b", 2)
        async with asyncio.timeout(20), stage.pool.acquire() as raw:
            subscription = stage.subscriptions["totals"]
            async with open_stepper(raw, subscription, stage.publisher.types) as stepper:
                assert len(await step(stage, "b")) == 1
                assert len([each async for each in stepper.steps("a", 1, None)]) == 1


async def test_what_does_not_act_on_the_copy_is_remarked(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.pool.execute(
            "CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.amount = NEW.amount * 2; RETURN NEW; END $$;"
            "CREATE TRIGGER twice BEFORE INSERT ON totals FOR EACH ROW EXECUTE FUNCTION twice()"
        )
        async with stage.pool.acquire() as raw:
            subscription = stage.subscriptions["totals"]
            async with open_stepper(raw, subscription, stage.publisher.types) as stepper:
                assert stepper.remarks == [
                    "Table totals has triggers, which do not act on the copy."
                ]


async def test_what_is_no_stream_and_what_acts_outside_is_told(database: str) -> None:
    async with open_stage(database, Totals(), handlers=[Mailer()]) as stage:
        await stage.place("a", 1)
        with pytest.raises(ProjectionError, match="no stream 'b', or all of it was erased"):
            await step(stage, "b")
        with pytest.raises(ProjectionError, match="no event from version 2 on"):
            await step(stage, "a", 2)
        async with stage.pool.acquire() as raw:
            with pytest.raises(ProjectionError, match="acts outside of the database"):
                async with open_stepper(raw, stage.subscriptions["mailer"], stage.publisher.types):
                    pass
