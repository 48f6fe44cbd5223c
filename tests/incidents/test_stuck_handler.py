import asyncio
from pathlib import Path

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, ready_service

# Long enough for the check, which wants to see silence twice, before the kill ends it.
HANG = {"SIDECAR_WORKER_HANG_SECONDS": "4"}


class Witness:
    """Asks again and again, and remembers what was not answered at once with 200."""

    def __init__(self, program: Program, *paths: str) -> None:
        self.answers = 0
        self.late: list[object] = []
        self._program = program
        self._paths = paths

    async def run(self) -> None:
        while True:
            for path in self._paths:
                answer = await self._program.get(path)
                self.answers += 1
                if answer.status != 200 or answer.seconds >= 1.0:
                    self.late.append((path, answer.status, answer.seconds))
            await asyncio.sleep(0.05)


async def test_a_handler_that_blocks_is_killed_while_probes_are_answered(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    marker = {"SERVICE_MARKER": str(tmp_path / "slept")}
    async with ready_service(tmp_path, database, **HANG, **marker) as program:
        witness = Witness(program, "/health", "/metrics")
        watching = asyncio.create_task(witness.run())
        async with ledger.paying():
            stuck = (await program.worker())["pid"]
            await ledger.pay("sleeper", memo="sleep")

            async def is_told() -> bool:
                checks = {check["name"]: check for check in (await program.status())["checks"]}
                return bool(checks["workers"]["outcome"] == "fail")

            await eventually(is_told)
            hung = await program.line("sidecar.worker.hung")
            assert hung["worker"] == "worker-1"
            assert "stuck in a handler" in hung["message"]
            await expect_new_worker(program, stuck)
        await ledger.expect_equal()
        watching.cancel()
        assert witness.late == []
        assert witness.answers > 50


async def expect_new_worker(program: Program, stuck: int) -> None:
    async def is_replaced() -> bool:
        worker = await program.worker()
        return bool(worker["state"] == "running" and worker["pid"] != stuck)

    await eventually(is_replaced)
    assert (await program.worker())["restarts"] == 1
    counted = {
        reason: await program.metric("sidecar_worker_restarts_total", reason=reason)
        for reason in ("hung", "exited")
    }
    assert counted == {"hung": 1, "exited": 0}
