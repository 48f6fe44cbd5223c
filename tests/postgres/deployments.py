"""A random sequence of releases of writer and worker, and of what people do meanwhile."""

from typing import Final

from sidecar.postgres.checkpoints.acceptance import accept_passed_over, accept_retired
from sidecar.postgres.checkpoints.block import remove, restore
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.rebuild.rebuild import cancel_rebuild, start_rebuild
from sidecar.postgres.verify.verification import (
    Verification,
    list_verifications,
    request_verification,
)
from sidecar.projections.ports import State
from tests.postgres.eventually import eventually
from tests.postgres.release_code import Code
from tests.postgres.release_history import ABOUT
from tests.postgres.rollouts import PATIENCE_SECONDS, Rollouts
from tests.postgres.stage import session


class Deployments(Rollouts):
    """One sequence of both, by seed."""

    async def run(self) -> None:
        """Let releases come and go with traffic between them."""
        await self.service.start(self.worker_code)
        steps = {
            self.traffic: 4,
            self.deploy_worker: 10,
            self.deploy_writer: 4,
            self.settle: 4,
            self.retire: 2,
            self.verify: 1,
            self.pause: 1,
            self.lose_checkpoint: 1,
            self.die_in_setup: 1,
            self.start_stranger: 1,
        }
        for _ in range(self.chance.randint(6, 10)):
            await self.traffic()
            [step] = self.chance.choices(list(steps), list(steps.values()))
            await step()
            if self.chance.random() < 0.5:
                await self.check()
        await self.check()

    async def pause(self) -> None:
        """Deploy while the projection is paused."""
        async with session(self.service.dsn) as connection:
            if (await self.service.status()).block is None:
                self.did["pause"] += 1
                await set_state(connection, self.service.name, State.PAUSED)
                await self.traffic()
                await self.deploy_worker()
                while (await self.service.status()).block is not None:
                    await self.settle()
                await set_state(connection, self.service.name, State.RUNNING)

    async def lose_checkpoint(self) -> None:
        """Delete the checkpoint, of all partitions or of one, and put it back."""
        before = await self.service.positions()
        gone = None if self.chance.random() < 0.5 else self.chance.choice(list(before))
        if not await self.service.pool.fetchval("SELECT count(*) FROM seen"):
            return
        self.did["checkpoint"] += 1
        await self.service.pool.execute(LOSE, self.service.name, gone)
        await self.traffic()

        async def is_told() -> bool:
            if not await self.service.positions():
                return False
            status = await self.service.status()
            return f"sidecar projections restore {self.service.name}" in str(status.detail)

        await eventually(is_told, PATIENCE_SECONDS)
        async with session(self.service.dsn) as connection:
            restored = await restore(connection, self.service.name)
        assert all(position >= before[part] for part, position in restored.items())

    async def settle(self) -> None:
        """Decide what a blocked projection waits for."""
        await self.until_quiet()
        status = await self.service.status()
        if status.block is None:
            return
        lacking = self.service.oracle.declared - self.worker_code.handled_names()
        is_read = await self.service.is_read(self.worker_code)
        if not lacking and is_read and self.chance.random() < 0.6:
            await self.rebuild()
        else:
            self.did["accept"] += 1
            missing = await self.service.missing(self.worker_code)
            told = {one.type: one for one in status.passed_over}
            for row in missing:
                one = told.get(row["type"])
                is_told = one and one.first_position <= row["position"] <= one.last_position
                if is_told or not row["is_parked"]:
                    self.service.oracle.accepted.add(row["position"])
            async with session(self.service.dsn) as connection:
                await accept_passed_over(connection, self.service.name, "not wanted")

    async def rebuild(self, *, is_left: bool = False) -> None:
        """Rebuild with the release that runs, which handles all that any does.

        At times another one is deployed meanwhile, unless it is left alone.
        """
        self.did["rebuild"] += 1
        await self.remove_unused()
        seen = await self.service.seen()
        async with session(self.service.dsn) as connection:
            await start_rebuild(connection, self.service.name)
            if is_deployed := not is_left and self.chance.random() < 0.2:
                await self.deploy_worker()
            await self.until_rebuilt()
            if (await self.service.status()).approval and not is_deployed:
                await self.approve()
            elif await self.service.pool.fetch(REBUILD, self.service.name):
                assert is_deployed
                await cancel_rebuild(connection, self.service.name)
        assert await self.service.types_of(seen - await self.service.seen()) <= self.given_up()

    def given_up(self) -> set[str]:
        """Return the types that nobody wants any more, the release that runs included."""
        return self.service.oracle.retired - self.worker_code.handled_names()

    async def approve(self) -> None:
        """Let rows vanish with a swap: those of what nobody wants, and as many as is told."""
        self.did["approve"] += 1
        approval = str((await self.service.status()).approval)
        seen = await self.service.seen()
        async with session(self.service.dsn) as connection:
            await start_rebuild(connection, self.service.name, is_approved=True)
        await self.until_rebuilt()
        gone = len(seen - await self.service.seen())
        assert f"{gone} row" in approval

    async def until_rebuilt(self) -> None:
        """Wait until a rebuild has come to its end, or waits for a person."""

        async def is_over() -> bool:
            states = await self.service.pool.fetch(REBUILD, self.service.name)
            return all(row["state"] == "failed" for row in states)

        await eventually(is_over, PATIENCE_SECONDS)

    async def remove_unused(self) -> None:
        """Forget the names under which releases were started that were not renamed to."""
        async with session(self.service.dsn) as connection:
            for row in await connection.fetch(OTHERS, self.service.name):
                await remove(connection, row["projection"])

    async def verify(self) -> None:
        """Verify, at times while another release is deployed."""
        self.did["verify"] += 1
        await self.until_quiet()
        before = await self.service.missing(self.worker_code)
        async with session(self.service.dsn) as connection:
            await request_verification(connection, self.service.name)
            if self.chance.random() < 0.4:
                await self.deploy_worker()
            found = await self.until_verified()
        await self.until_quiet()
        after = await self.service.missing(self.worker_code)
        lacking = [row for row in (*before, *after) if not row["is_parked"]]
        # One that does not handle a type any more, which nobody wants, finds it to be too much.
        given_up = await self.service.types_of(await self.service.seen()) & self.given_up()
        if found.state == "drifted":
            assert lacking or given_up, found

    async def until_verified(self) -> Verification:
        async with session(self.service.dsn) as connection:

            async def find() -> Verification:
                (found,) = await list_verifications(connection, [self.service.name])
                return found

            async def is_over() -> bool:
                return (await find()).state != "running"

            await eventually(is_over, PATIENCE_SECONDS)
            return await find()

    async def retire(self) -> None:
        """Say that nobody wants a type any more which the release that runs does not handle."""
        await self.until_quiet()
        oracle = self.service.oracle
        if lacking := sorted(oracle.declared - self.worker_code.handled_names()):
            self.did["retire"] += 1
            name = self.chance.choice(lacking)
            missing = await self.service.missing(self.worker_code)
            oracle.accepted |= {row["position"] for row in missing if row["type"] == name}
            oracle.retire([name])
            async with session(self.service.dsn) as connection:
                await accept_retired(connection, self.service.name, [name], "gone")

    async def end_right(self) -> str:
        """Let a release that handles everything put it right; return whether that was needed."""
        status = await self.service.status()
        missing = await self.service.missing(self.worker_code)
        verdict = "told" if missing or status.block else "right"
        everything = Code(
            ABOUT,
            None,
            frozenset(ABOUT),
            partitions=await self.service.count_partitions(),
            newer=frozenset(ABOUT),
            name=self.service.name,
        )
        await self.service.stop_all()
        await self.service.start(everything)
        self.worker_code = everything
        await self.service.pool.execute(RETRY)
        await self.until_quiet()
        if (await self.service.status()).passed_over or self.service.oracle.accepted:
            await self.rebuild(is_left=True)
            await self.until_quiet()
        assert await self.service.missing(everything) == []
        assert (await self.service.status()).detail is None
        assert await self.service.letters() == []
        return verdict


LOSE: Final = """
    DELETE FROM sidecar.checkpoints
    WHERE projection = $1 AND copy = 'live' AND ($2::integer IS NULL OR partition = $2)
"""
OTHERS: Final = "SELECT DISTINCT projection FROM sidecar.checkpoints WHERE projection <> $1"
REBUILD: Final = "SELECT state FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'rebuild'"
RETRY: Final = """
    UPDATE sidecar.dead_letters SET retry_at = clock_timestamp()
    WHERE resolution IS NULL AND category = 'decode'
"""
