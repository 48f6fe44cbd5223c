"""A projection whose setup fails is left out, told of, and taken up again; the others run."""

from pathlib import Path

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve

SHOP = """
import service
from sidecar.events.publisher import EventPublisher

class Mistyped(service.Sums):
    name = table = "mistyped"

    async def setup(self, connection):
        await super().setup(connection)
        await connection.execute("ALTER TABEL mistyped ALTER COLUMN cents SET NOT NULL")

publisher = EventPublisher(service.types)
publisher.add_projection(Mistyped())
publisher.add_projection(service.Totals())
"""


async def status_of(program: Program, projection: str) -> tuple[str, str | None]:
    shown = {one["name"]: one for one in (await program.status())["projections"]}
    one = shown.get(projection, {"status": "", "detail": None})
    return one["status"], one["detail"]


async def test_a_failing_setup_leaves_out_its_projection_only(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    module = tmp_path / "mistyping.py"
    module.write_text(SHOP)
    async with serve(tmp_path, database, "mistyping:publisher") as program:
        line = await program.line("sidecar.setup.failed")
        assert (line["level"], line["projection"]) == ("ERROR", "mistyped")
        assert "start the worker again" in line["message"]
        assert "ALTER TABEL" in line["exception"]
        await ledger.pay("a", 3)
        await ledger.expect_equal("totals")

        async def is_told() -> bool:
            return (await status_of(program, "mistyped"))[0] == "failed"

        await eventually(is_told)
        detail = (await status_of(program, "mistyped"))[1]
        assert detail is not None
        assert "PostgresSyntaxError" in detail

        async def is_checked() -> bool:
            labels = {"check": "projection-mistyped", "status": "fail"}
            return await program.metric("sidecar_check_status", **labels) == 1

        await eventually(is_checked)
        assert program.lines("sidecar.worker.exited") == []
        assert len(program.lines("sidecar.setup.failed")) == 1
    module.write_text(SHOP.replace("TABEL", "TABLE"))
    async with serve(tmp_path, database, "mistyping:publisher") as program:
        await ledger.expect_equal("totals", "mistyped")

        async def is_cured() -> bool:
            return await status_of(program, "mistyped") == ("caught_up", None)

        await eventually(is_cured)
