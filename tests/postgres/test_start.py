"""A new projection or handler starts where it is told to; what lies below is told."""

import datetime as dt
from typing import Any, Final

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.checkpoints.acceptance import accept_position
from sidecar.postgres.checkpoints.checkpoint import prepare, register, set_state
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.rebuild.rebuild import cancel_rebuild, replay_handler, start_rebuild
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.log_start import NOW, read_start
from sidecar.projections.ports import State
from sidecar.projections.projection import subscriptions_of
from tests.postgres import rebuilding, verifying
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.setting_up import row_of
from tests.postgres.shop import Journal, Mailer, Paid, types
from tests.postgres.stage import Stage, open_stage, session

NOON: Final = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "start"),
    [
        (0, 0),
        (48_112, 48_112),
        ("48113", 48_113),
        ("now", NOW),
        (NOON, NOON),
        ("2026-03-01T12:00:00Z", NOON),
        (" 2026-03-01 13:00+01:00 ", NOON),
    ],
)
def test_a_start_is_a_position_a_time_or_now(value: object, start: object) -> None:
    assert read_start(value) == start


@pytest.mark.parametrize(
    "value",
    [
        *(-2, True, 1.5, "", "-1", "end", "1e3", "²", "1_000", 2**63, str(2**63 + 1), "9" * 60),
        *("2026-03-01", "2026-03-01T12:00", NOON.replace(tzinfo=None), b"now", ["now"]),
    ],
)
def test_anything_else_is_no_start(value: object) -> None:
    with pytest.raises(ValueError):
        read_start(value)
    publisher = EventPublisher(types)
    journal = Journal()
    journal.start_at = value  # type: ignore[attr-defined]
    publisher.add_projection(journal)
    with pytest.raises(ProjectionError, match=r"start_at is .*; that is not a position, `now`"):
        subscriptions_of(publisher)


def starting(subscriber: Any, start: object) -> Any:
    """Let a subscriber declare where it starts."""
    subscriber.start_at = start
    return subscriber


async def joined(stage: Stage, start: object, *, partitions: int = 1) -> Stage:
    """Add a projection to a service that has run for a while."""
    publisher = EventPublisher(types)
    publisher.add_projection(starting(Totals("late", partitions=partitions), start))
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


async def rows(stage: Stage) -> list[tuple[object, ...]]:
    found = await stage.pool.fetch("SELECT stream, amount FROM late ORDER BY stream")
    return [tuple(row) for row in found]


async def until_rows(stage: Stage, *expected: tuple[object, ...]) -> None:
    """Wait until a copy that was swapped in a moment behind holds them."""

    async def has_come() -> bool:
        return await rows(stage) == list(expected)

    await eventually(has_come)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_projection_starts_after_a_position_and_is_rebuilt_and_verified_from_there(
    database: str, partitions: int
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1, 2)
        await stage.place("b", 4)
        late = await joined(stage, 2, partitions=partitions)
        await late.register()
        await stage.place("a", 8)
        await late.catch_up()
        assert await rows(late) == [("a", 8), ("b", 4)]
        async with session(database) as connection:
            sample = await take_sample(connection, SafeHeadFollower())
        [status] = [each for each in sample.projections if each.name == "late"]
        assert status.start_position == 2
        assert "starts after position 2 as declared" in str(status.detail)
        async with verifying.working(late):
            await verifying.start(late, "late")
            found = await verifying.until_ended(late, "late")
            assert found.state == "equal", found
            async with session(database) as connection:
                await start_rebuild(connection, "late")
            await rebuilding.until_swapped(late, "late")
            await until_rows(late, ("a", 8), ("b", 4))
        assert await stage.checkpoint("late") == 4


async def test_a_rebuild_may_start_elsewhere_and_later_ones_keep_to_it(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1, 2)
        late = await joined(stage, NOW)
        await late.register()
        await stage.place("a", 4)
        await late.catch_up()
        assert await rows(late) == [("a", 4)]
        async with rebuilding.working(late):
            async with session(database) as connection:
                with pytest.raises(ProjectionError, match="Position 9 is not in the log"):
                    await start_rebuild(connection, "late", 9)
                await start_rebuild(connection, "late", 0)
            await rebuilding.until_swapped(late, "late")
            await until_rows(late, ("a", 7))
        assert (
            await stage.pool.fetchval(
                "SELECT max(start_position) FROM sidecar.checkpoints WHERE projection = 'late'"
            )
            == 0
        )
        async with session(database) as connection:
            await start_rebuild(connection, "late", 1)
            with pytest.raises(ProjectionError, match="under way; drop it before"):
                await start_rebuild(connection, "late", 2)
            await start_rebuild(connection, "late")
            await cancel_rebuild(connection, "late")


async def test_a_time_starts_before_the_first_event_recorded_then_or_later(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1, 2, 4)
        query = "SELECT recorded_at FROM sidecar.events WHERE position = 2"
        second: dt.datetime = await stage.pool.fetchval(query)
        for moment, position in (
            (second, 1),
            (second - dt.timedelta(days=9), 0),
            (second + dt.timedelta(days=9), 3),
        ):
            late = await joined(stage, moment)
            await stage.pool.execute("DELETE FROM sidecar.checkpoints WHERE projection = 'late'")
            await late.register()
            assert await stage.checkpoint("late") == position


async def test_a_handler_starts_where_it_declares_and_replays_from_there(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1, 2, 4)
        mailer = starting(Mailer(), 1)
        publisher = EventPublisher(types)
        publisher.add_handler(mailer)
        late = Stage(stage.dsn, stage.pool, publisher, stage.policy)
        await late.register()
        await late.catch_up()
        assert mailer.heard == [2, 4]
        async with session(database) as connection:
            await replay_handler(connection, "mailer")
            await late.catch_up()
            assert mailer.heard == [2, 4] * 2
            await replay_handler(connection, "mailer", 2)
        await late.catch_up()
        assert mailer.heard == [2, 4, 2, 4, 4]


async def test_a_start_ahead_of_the_log_waits_for_it_and_harms_nobody(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1)
        late = await joined(stage, 2)
        for _ in range(2):
            await late.register()
            state, detail, *_more = await row_of(late, "late")
            assert state == State.FAILED
            assert "ahead of the log. Position 2 is not in the log; its last is 1" in str(detail)
        assert await stage.checkpoint("late") == 1
        await stage.place("a", 2, 4)
        await late.register()
        await late.catch_up()
        assert await rows(late) == [("a", 4)]


async def test_a_start_ahead_of_the_log_can_be_given_up(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1)
        late = await joined(stage, 5)
        await late.register()
        async with session(database) as connection:
            assert await accept_position(connection, "late", NOW, "a smaller database") == 1
        await stage.place("a", 2)
        await late.register()
        await late.catch_up()
        assert await rows(late) == [("a", 2)]
        query = "SELECT start_position FROM sidecar.checkpoints WHERE projection = 'late'"
        assert await stage.pool.fetchval(query) == 1


async def test_a_start_is_never_above_what_a_slow_writer_may_still_commit(database: str) -> None:
    async with open_stage(database, Journal()) as stage, session(database) as slow:
        await stage.place("a", 1)
        async with slow.transaction():
            await stage.store.append("b", [Paid("b")], connection=slow)
            await stage.place("a", 2)
            late = await joined(stage, 3)
            await late.register()
            assert (await row_of(late, "late"))[0] == State.FAILED
            async with session(database) as connection:
                with pytest.raises(ProjectionError, match="its last is 1"):
                    await accept_position(connection, "late", 3, "sure")
            assert await stage.advance() == 1


async def test_a_start_holds_for_new_ones_only_and_outlives_other_partitions(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1, 2)
        late = await joined(stage, 1)
        await late.register()
        await late.catch_up()
        async with session(database) as connection:
            await set_state(connection, "late", State.PAUSED)
        later = await joined(stage, NOW, partitions=2)
        await stage.place("a", 4)
        async with session(database) as connection:
            for subscription in later.subscriptions.values():
                await register(connection, subscription)
                await prepare(connection, subscription)
            await set_state(connection, "late", State.RUNNING)
        await later.catch_up()
        assert await rows(later) == [("a", 6)]
        query = "SELECT DISTINCT start_position FROM sidecar.checkpoints WHERE projection = 'late'"
        assert [row[0] for row in await stage.pool.fetch(query)] == [1]
