"""What `sidecar serve` is told on the command line is judged like the environment."""

from pathlib import Path

import pytest

from tests.incidents.patience import eventually
from tests.incidents.program import TARGET, serve


async def test_workers_of_the_command_line_count_for_the_connections(
    tmp_path: Path, database: str
) -> None:
    async with serve(
        tmp_path, database, TARGET, "--workers", "2", DB_POOL_MAX_SIZE="100"
    ) as program:
        found = await program.line("sidecar.configuration.found", finding="DB08")
        assert "2 worker(s)" in found["message"]

        async def are_two() -> bool:
            return len((await program.status())["workers"]) == 2

        await eventually(are_two)


@pytest.mark.parametrize(("host", "ids"), [("0.0.0.0", {"OPS01"}), ("127.0.0.1", set())])
async def test_a_host_of_the_command_line_is_judged(
    tmp_path: Path, database: str, host: str, ids: set[str]
) -> None:
    async with serve(tmp_path, database, "--host", host) as program:
        lines = program.lines("sidecar.configuration.found")
        assert {line["finding"] for line in lines} & {"OPS01"} == ids
        assert host in program.address
