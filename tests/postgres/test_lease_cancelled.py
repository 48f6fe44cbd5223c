"""A worker that loses its leases and its sessions at once, as when the server is restarted."""

import asyncio
from typing import Any, Final

import asyncpg

from tests.postgres.eventually import eventually
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session

TERMINATE: Final = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = $1 AND datname = current_database()"
)


class Patient:
    """Is in the middle of its first event when everything is cut off."""

    name = "patient"
    handles = (Placed,)
    eager = True

    def __init__(self) -> None:
        self.calls = 0
        self.raw: Any = None

    async def handle(self, _event: Placed, connection: Any) -> None:
        self.calls += 1
        if self.calls == 1:
            self.raw = await connection.raw()
            await asyncio.Event().wait()


async def test_a_loop_whose_rollback_fails_ends_and_the_leases_are_taken_anew(
    database: str,
) -> None:
    patient = Patient()
    async with open_stage(database, patient) as stage, session(database) as admin:
        await stage.place("s1", 1)
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())

        async def is_at_work() -> bool:
            return patient.raw is not None

        async def is_cut_off() -> bool:
            try:
                return bool(patient.raw.is_closed())
            except asyncpg.InterfaceError:  # the pool has taken it back
                return True

        async def is_at_work_again() -> bool:
            return patient.calls > 1 and await stage.checkpoint("patient") >= 1

        await eventually(is_at_work)
        (before,) = worker._tasks.values()
        await admin.execute(TERMINATE, "stage")
        await eventually(is_cut_off)
        await admin.execute(TERMINATE, "lease")
        await eventually(is_at_work_again)

        async def has_begun_anew() -> bool:
            return bool(worker._tasks) and before not in worker._tasks.values()

        await eventually(has_begun_anew)
        worker.stop()
        await working
