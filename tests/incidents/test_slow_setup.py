"""A projection whose setup takes minutes is told of and joins when it is done; the others run."""

from pathlib import Path

import asyncpg

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve

SHOP = """
import service
from sidecar.events.publisher import EventPublisher

class Indexed(service.Sums):
    name = table = "indexed"

    async def setup(self, connection):
        await connection.execute("SELECT pg_advisory_xact_lock_shared(4711, 0)")
        await super().setup(connection)

publisher = EventPublisher(service.types)
publisher.add_projection(Indexed())
publisher.add_projection(service.Totals())
"""


async def detail_of(program: Program, projection: str) -> str:
    shown = {one["name"]: one for one in (await program.status())["projections"]}
    return str(shown.get(projection, {"detail": None})["detail"])


async def test_a_slow_setup_holds_up_its_projection_only(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    (tmp_path / "indexing.py").write_text(SHOP)
    gate = await asyncpg.connect(database)
    try:
        await gate.execute("SELECT pg_advisory_lock(4711, 0)")
        async with serve(tmp_path, database, "indexing:publisher") as program:
            await ledger.pay("a", 3)
            await ledger.expect_equal("totals")
            line = await program.line("sidecar.setup.slow")
            assert (line["level"], line["projection"]) == ("WARNING", "indexed")

            async def is_told() -> bool:
                return "its setup in a worker has waited or run" in await detail_of(
                    program, "indexed"
                )

            await eventually(is_told)
            await gate.execute("SELECT pg_advisory_unlock(4711, 0)")
            await ledger.expect_equal("totals", "indexed")

            async def is_over() -> bool:
                return await detail_of(program, "indexed") == "None"

            await eventually(is_over)
    finally:
        await gate.close()
