"""`projections remove`: nothing of a projection's former life reaches a new one of its name."""

from sidecar.postgres.checkpoints.block import remove
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.rebuild.rebuild import start_rebuild
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.drift import UNVERIFIED
from sidecar.projections.retry import RetryPolicy
from tests.postgres import rebuilding, verifying
from tests.postgres.rebuilding import Totals
from tests.postgres.stage import Stage, open_stage, session

COPIES = "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^sidecar_(new|verify)_'"


async def test_a_projection_of_the_same_name_begins_a_new_life(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad", "worse"}
    policy = RetryPolicy(max_attempts=1)
    async with open_stage(database, totals, policy=policy) as stage:
        await live(stage)
        async with session(database) as connection:
            await remove(connection, "totals")
            sample = await take_sample(connection, SafeHeadFollower())
        assert sample.projections == ()
        assert await stage.letters() == []
        assert await stage.pool.fetchval(COPIES) == 0
        await stage.pool.execute("TRUNCATE totals")
        totals.broken = set()
        await stage.register()
        await stage.catch_up()
        assert await rebuilding.read(stage) == await rebuilding.oracle(stage)
        async with session(database) as connection:
            [status] = (await take_sample(connection, SafeHeadFollower())).projections
        assert status.verification == UNVERIFIED
        assert status.detail is None
        assert (status.dead_letters, status.passed_over) == (0, ())


async def live(stage: Stage) -> None:
    """Leave a dead letter, a discard, a verification, and copies half made."""
    await stage.place("a", 1, order="bad")
    await stage.place("a", 2)
    await stage.place("b", 4, order="worse")
    await stage.place("c", 8)
    await stage.catch_up()
    letters = {letter["stream"]: letter["id"] for letter in await stage.letters()}
    async with session(stage.dsn) as connection:
        await discard(connection, letters["b"], "wrong")
        async with verifying.working(stage):
            await verifying.verify(stage)
        await verifying.start(stage)
        await start_rebuild(connection, "totals")
    await stage.pool.execute("CREATE SCHEMA sidecar_verify_totals")
