"""Releases that handle different types follow each other in any order, or run at once."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from sidecar.errors import NothingToAcceptError, ProjectionError
from sidecar.postgres.checkpoints.acceptance import accept_passed_over, accept_retired
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.checkpoints.release import Release as PostgresRelease
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.store import EventStore
from sidecar.postgres.verify.verification_schedule import VerificationSchedule
from sidecar.projections import failure_handler
from sidecar.projections.drift import describe_verification
from sidecar.projections.ports import State
from sidecar.projections.projection_status import Status
from tests.postgres import rebuilding, verifying
from tests.postgres.eventually import eventually
from tests.postgres.releases import Release, append, seen, status_of
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.stage import Stage, open_stage, session

BOTH = ("Placed", "Refunded")


async def accept(stage: Stage) -> int:
    async with session(stage.dsn) as connection:
        return await accept_passed_over(connection, "seen", "not wanted")


async def retire(stage: Stage, *types: str) -> int:
    async with session(stage.dsn) as connection:
        return await accept_retired(connection, "seen", types, "gone for good")


async def test_an_older_release_keeps_what_a_newer_one_handles_and_that_applies_it_in_order(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        new, old = Release(stage, BOTH), Release(stage, ["Placed"])
        await append(stage, "Placed", "Refunded")
        await new.run()
        # Of streams s0, s1, s2, s0.
        await append(stage, "Refunded", "Placed", "Refunded", "Placed")
        await old.run()
        letters = await stage.letters()
        assert [(row["position"], row["event_type"], row["category"]) for row in letters] == [
            (3, "Refunded", "unknown-type"),
            (5, "Refunded", "unknown-type"),
        ]
        assert "--retire Refunded" in letters[0]["error_message"]
        assert await seen(stage) == [1, 2, 4]
        assert (await status_of(stage)).parked_streams == 2
        # However often it looks: they are none of its own.
        await stage.ask_retry()
        await old.run()
        assert await seen(stage) == [1, 2, 4]
        await new.run_on()
        assert await seen(stage) == [1, 2, 4, 3, 6, 5]
        assert await stage.letters() == []
        assert await new.told() == {}


async def test_a_release_that_starts_while_an_older_one_runs_is_heeded_from_its_next_batch_on(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        old = Release(stage, ["Placed"])
        await append(stage, "Placed")
        await set_up(old.stage)
        old.stage.start()
        await old.stage.settle()
        await set_up(Release(stage, BOTH).stage)
        await append(stage, "Refunded", "Placed")
        await old.stage.settle()
        await old.stage.stop()
        assert [row["category"] for row in await stage.letters()] == ["unknown-type"]
        assert await old.told() == {}


async def test_a_batch_under_way_at_a_start_is_told_of(database: str) -> None:
    async with open_stage(database) as stage:
        old = Release(stage, ["Placed"])
        await append(stage, "Placed", "Refunded", "Placed")
        await set_up(old.stage)
        in_handler, go_on = asyncio.Event(), asyncio.Event()
        handle = old.projection.handle

        async def slowly(*args: object) -> None:
            in_handler.set()
            await go_on.wait()
            await handle(*args)  # type: ignore[arg-type]

        subscriber = old.stage.subscriptions["seen"].subscriber
        object.__setattr__(subscriber, "invoke", slowly)
        old.stage.start()
        await old.stage.advance()
        await in_handler.wait()
        new = Release(stage, BOTH)
        starting = asyncio.create_task(set_up(new.stage))
        # It waits for the lock that the batch holds.
        await eventually(
            lambda: stage.pool.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        )
        go_on.set()
        await starting
        await old.stage.stop()
        assert (await status_of(stage)).block == "passed_over"
        assert await new.told() == {"Refunded": 1}


async def test_a_writer_that_has_the_projections_declares_before_its_first_event(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        old, new = Release(stage, ["Placed"]), Release(stage, BOTH)
        await append(stage, "Placed")
        await old.run()
        refunded = new.publisher.types.find("Refunded")
        assert refunded is not None
        await EventStore(stage.pool, new.publisher.types).append("s9", [refunded.cls()])
        await old.run()
        assert [row["position"] for row in await stage.letters()] == [2]
        await new.run_on()
        assert await seen(stage) == [1, 2]


async def test_a_writer_without_rights_to_declare_appends_all_the_same(database: str) -> None:
    async with open_stage(database) as stage:
        new = Release(stage, BOTH)
        await set_up(new.stage)
        await stage.pool.execute(
            "DELETE FROM sidecar.declarations; "
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE insufficient_privilege; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON sidecar.declarations EXECUTE FUNCTION refuse()"
        )
        placed = new.publisher.types.find("Placed")
        assert placed is not None
        appended = await EventStore(stage.pool, new.publisher.types).append("s", [placed.cls()])
        assert appended.position == 1


async def test_a_block_stays_whichever_release_starts_until_it_is_settled(database: str) -> None:
    async with open_stage(database) as stage:
        old, new = Release(stage, ["Placed"]), Release(stage, BOTH)
        await append(stage, "Placed", "Refunded")
        await old.run()
        for release in (new, old, new):
            await set_up(release.stage)
            _, detail, _ = await row_of(stage, "seen")
            assert "1 of Refunded (position 2)" in str(detail)
            assert (await status_of(stage)).status is Status.FAILED
        async with session(database) as connection:
            with pytest.raises(ProjectionError, match="waits for a decision"):
                await set_state(connection, "seen", State.RUNNING)
        assert await accept(stage) == 1
        with pytest.raises(NothingToAcceptError):
            await accept(stage)
        kept = await stage.pool.fetchrow("SELECT what, reason FROM sidecar.acceptances")
        assert tuple(kept or ()) == ("1 passed-over events of Refunded (2 to 2)", "not wanted")
        await append(stage, "Refunded")
        await new.run()
        assert await seen(stage) == [1, 3]
        assert (await status_of(stage)).detail is None


async def test_a_paused_projection_that_is_blocked_stays_paused_when_that_is_settled(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        old, new = Release(stage, ["Placed"]), Release(stage, BOTH)
        await append(stage, "Placed", "Refunded")
        await old.run()
        async with session(database) as connection:
            await set_state(connection, "seen", State.PAUSED)
        await set_up(new.stage)
        assert (await row_of(stage, "seen"))[0] == State.PAUSED
        assert (await status_of(stage)).block == "passed_over"
        await accept(stage)
        assert (await row_of(stage, "seen"))[:2] == (State.PAUSED, None)


async def test_a_type_that_is_retired_by_command_waits_no_more_and_is_wanted_again_by_a_release(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        wide, narrow = Release(stage, BOTH), Release(stage, ["Placed"])
        await append(stage, "Placed")
        await wide.run()
        await stage.insert("s1", "Refunded", "{}")
        await stage.insert("s1", "Placed", "{}")
        await narrow.run()
        assert await seen(stage) == [1]
        with pytest.raises(ProjectionError, match="No release of seen handles Refunde;"):
            await retire(stage, "Refunde")
        assert await retire(stage, "Refunded") == 1
        assert await retire(stage, "Refunded") == 0
        await narrow.run_on()
        await append(stage, "Refunded", "Placed")
        await narrow.run()
        assert await seen(stage) == [1, 3, 5]
        assert await narrow.told() == {}
        # What came since nobody wanted it is told to whoever wants it again.
        await set_up(wide.stage)
        assert await wide.told() == {"Refunded": 1}
        assert (await status_of(stage)).block == "passed_over"


async def test_what_is_passed_over_after_the_rest_was_retired_is_told_to_whoever_wants_it_again(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        wide, narrow = Release(stage, BOTH), Release(stage, ["Placed"])
        await append(stage, "Placed", "Refunded")
        await narrow.run()
        await set_up(wide.stage)
        await retire(stage, "Refunded")
        await append(stage, "Refunded", "Placed")
        await narrow.run()
        await set_up(wide.stage)
        assert await wide.told() == {"Refunded": 1}
        assert (await status_of(stage)).block == "passed_over"


async def test_a_type_that_is_retired_in_the_code_waits_no_more(database: str) -> None:
    async with open_stage(database) as stage:
        await append(stage, "Placed")
        await Release(stage, BOTH).run()
        await stage.insert("s1", "Refunded", "{}")
        await stage.insert("s1", "Placed", "{}")
        await Release(stage, ["Placed"]).run()
        assert await seen(stage) == [1]
        gone = Release(stage, ["Placed"], retired=["Refunded"])
        await gone.run_on()
        assert await seen(stage) == [1, 3]
        assert await stage.letters() == []
        assert await gone.told() == {}
        # That release is rolled back, and what waited until then is not forgotten.
        both = Release(stage, BOTH)
        await set_up(both.stage)
        assert await both.told() == {"Refunded": 1}
        assert (await status_of(stage)).block == "passed_over"


async def test_a_worker_that_is_killed_once_it_has_declared_leaves_nothing_untold(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        old, new = Release(stage, ["Placed"]), Release(stage, BOTH)
        await append(stage, "Placed", "Refunded")
        await old.run()
        async with session(database) as connection:
            await PostgresRelease(new.stage.handled).declare(connection, ["seen"])
        assert await old.told() == {"Refunded": 1}
        # So it is when a person has decided.
        await accept(stage)
        assert await old.told() == {}


async def test_a_release_that_goes_on_is_told_what_one_retired_that_came_to_nothing(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        wide = Release(stage, BOTH)
        gone = Release(stage, ["Placed"], retired=["Refunded"])
        await append(stage, "Placed", "Refunded")
        await Release(stage, ["Placed"]).run()
        await set_up(wide.stage)
        await set_up(gone.stage)
        assert await wide.told() == {"Refunded": 1}
        assert await gone.told() == {}


async def test_what_a_retry_leaves_out_is_told_though_the_type_was_handled_when_it_was_queued(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        wide = Release(stage, (*BOTH, "Voided"))
        await append(stage, "Placed")
        await wide.run()
        old, gone = Release(stage, BOTH), Release(stage, ["Placed", "Voided"], retired=["Refunded"])
        await set_up(old.stage)
        old.stage.start()
        await stage.insert("s1", "Voided", "{}")
        await old.stage.settle()
        # The old release goes on, and leaves what it handles to the stream that waits.
        await set_up(gone.stage)
        await stage.insert("s1", "Refunded", "{}")
        await old.stage.settle()
        await old.stage.stop()
        await gone.run_on()
        assert await seen(stage) == [1, 2]
        assert await stage.letters() == []
        await set_up(wide.stage)
        assert await wide.told() == {"Refunded": 1}


async def wait_behind_a_failure(stage: Stage) -> Release:
    """Park a stream, and have a release pass over an event of it; return one that wants it."""
    old, new = Release(stage, ["Placed"]), Release(stage, BOTH)
    await stage.insert("s0", "Placed", "[]")
    await append(stage, "Refunded", "Refunded")
    await old.run()
    await set_up(new.stage)
    # Only that of the other stream is passed over for good.
    assert await new.told() == {"Refunded": 1}
    assert await accept(stage) == 1
    async with session(stage.dsn) as connection:
        (letter,) = await stage.letters()
        await discard(connection, letter["id"], "a test order")
    return new


async def test_what_waits_behind_a_failed_event_is_not_passed_over(database: str) -> None:
    async with open_stage(database) as stage:
        new = await wait_behind_a_failure(stage)
        await new.run_on()
        assert await seen(stage) == [2]
        assert await new.told() == {}
        async with verifying.working(new.stage):
            assert (await verifying.verify(new.stage, "seen")).state == "equal"


@pytest.mark.parametrize("fails_again", [False, True])
async def test_what_is_taken_up_before_it_was_counted_is_not_passed_over(
    database: str, *, fails_again: bool
) -> None:
    async with open_stage(database) as stage:
        new, old = Release(stage, BOTH), Release(stage, ["Placed"], retired=["Refunded"])
        await append(stage, "Refunded")
        await set_up(new.stage)
        await old.run()
        assert await new.told() == {"Refunded": 1}
        await stage.insert("s1", "Placed", "[]")
        await stage.insert("s1", "Refunded", "{}")
        if fails_again:
            await stage.insert("s1", "Placed", "[]")
        await old.run()
        async with session(stage.dsn) as connection:
            (letter,) = await stage.letters()
            await discard(connection, letter["id"], "a test order")
        # The new one runs already, and has counted nothing since.
        new.stage.start()
        await new.stage.settle()
        await new.stage.until_retried()
        await new.stage.stop()
        assert await seen(stage) == [3]
        assert len(await stage.letters()) == fails_again
        assert await new.told() == {"Refunded": 1}


async def test_what_waited_and_is_left_out_at_last_is_passed_over(database: str) -> None:
    async with open_stage(database) as stage:
        new = await wait_behind_a_failure(stage)
        await Release(stage, ["Placed"], retired=["Refunded"]).run_on()
        assert await seen(stage) == []
        assert await new.told() == {"Refunded": 1}


async def test_too_many_streams_that_wait_halt_the_projection_until_a_release_has_the_type(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_handler, "MAX_UNKNOWN_STREAMS", 3)
    async with open_stage(database) as stage:
        new, old = Release(stage, BOTH), Release(stage, ["Placed"])
        await append(stage, "Placed")
        await new.run()
        for number in range(5):
            await stage.insert(f"t{number}", "Refunded", "{}")
        await append(stage, "Placed")
        await set_up(old.stage)
        old.stage.start()
        await old.stage.advance()

        async def is_halted() -> bool:
            return (await row_of(stage, "seen"))[0] == State.FAILED

        await eventually(is_halted)
        assert "Another release of seen handles Refunded" in str((await row_of(stage, "seen"))[1])
        await old.stage.stop()
        assert len(await stage.letters()) <= 3
        await new.run_on()
        assert await seen(stage) == [1, 2, 3, 4, 5, 6, 7]


async def test_an_older_release_neither_rebuilds_nor_verifies_what_a_newer_one_filled(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        new, old = Release(stage, BOTH), Release(stage, ["Placed"])
        await append(stage, "Placed", "Refunded", "Placed")
        await new.run()
        await set_up(old.stage)
        async with rebuilding.working(old.stage):
            await rebuilding.start(old.stage, "seen")
            said = await rebuilding.until_halted(old.stage, "seen")
        assert "Another release of seen handles Refunded" in said
        await rebuilding.cancel(old.stage, "seen")
        async with verifying.working(old.stage):
            found = await verifying.verify(old.stage, "seen")
        assert found.state == "failed"
        assert "Another release of seen handles Refunded" in str(found.detail)
        assert await seen(stage) == [1, 2, 3]


async def test_without_a_registry_what_typed_releases_passed_over_is_told(database: str) -> None:
    async with open_stage(database) as stage:
        untyped = Release(stage, None, known=[])
        await append(stage, "Placed", "Refunded")
        await untyped.run()
        await append(stage, "Placed", "Refunded", "Paid")
        await Release(stage, ["Placed"]).run()
        await set_up(untyped.stage)
        assert (await status_of(stage)).block == "passed_over"
        assert {one.type: one.events for one in (await status_of(stage)).passed_over} == {
            "Refunded": 1,
            "Paid": 1,
        }


async def test_a_handler_is_told_of_what_it_passed_over_and_goes_on(database: str) -> None:
    async with open_stage(database) as stage:
        old = Release(stage, ["Placed"], as_handler=True)
        new = Release(stage, BOTH, as_handler=True)
        await set_up(old.stage)
        await append(stage, "Placed", "Refunded")
        await old.run()
        await append(stage, "Refunded")
        await new.run()
        status = await status_of(stage)
        assert (status.block, [one.events for one in status.passed_over]) == (None, [1])
        assert await seen(stage) == [1, 3]


async def test_other_code_is_marked_and_its_read_model_is_verified_first(database: str) -> None:
    async with open_stage(database) as stage:
        only = Release(stage, ["Placed"])
        await append(stage, "Placed")
        await only.run()
        schedule = VerificationSchedule(["seen"], 0.5)
        async with session(database) as connection:
            for fingerprint, is_due in (("a", True), ("a", False), ("b", True), ("b", False)):
                marks, version = {"seen": fingerprint}, f"1.{fingerprint}"
                handled = only.stage.handled
                release = PostgresRelease(handled, version=version, fingerprints=marks)
                await release.declare(connection, ["seen"])
                assert (await schedule.ask(stage.pool) == "seen") is is_due
                async with verifying.working(only.stage):
                    if is_due:
                        await verifying.until_ended(only.stage, "seen")
        status = await status_of(stage)
        assert (status.release, status.block) == ("1.b", None)
        assert status.code_changed_at is not None
        now, changed_at = status.code_changed_at + dt.timedelta(hours=2), status.code_changed_at
        before = replace(status.verification, verified_at=changed_at - dt.timedelta(hours=1))
        assert describe_verification(before, now, changed_at).endswith("; its code changed since")
        assert "changed" not in describe_verification(status.verification, now, changed_at)
