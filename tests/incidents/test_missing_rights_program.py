"""A service whose role lacks rights waits, says what cures it, and goes on by itself."""

from pathlib import Path

from tests.incidents.patience import eventually
from tests.incidents.program import READY_SECONDS, TARGET, serve
from tests.postgres.cluster import Cluster


async def test_a_role_without_rights_is_told_the_grant_and_is_waited_for(
    tmp_path: Path, private_cluster: Cluster
) -> None:
    name = await private_cluster.create_database()
    await private_cluster.execute("CREATE ROLE weak LOGIN")
    grant = f"GRANT CREATE ON DATABASE {name} TO weak"
    dsn = private_cluster.dsn(name).replace("postgres@", "weak@")
    async with serve(tmp_path, dsn, TARGET) as program:
        waits = await program.line("sidecar.worker.waits")
        assert grant in waits["message"]

        async def is_told() -> bool:
            return grant in (await program.get("/ready?verbose")).text

        await eventually(is_told, READY_SECONDS)
        assert (await program.worker())["restarts"] == 0
        assert "Traceback" not in program.output()
        await private_cluster.execute(grant, name)
        await private_cluster.execute("GRANT CREATE ON SCHEMA public TO weak", name)
        await eventually(program.is_ready, READY_SECONDS)
        assert len(program.lines("sidecar.worker.waits")) == 1
        assert (await program.worker())["restarts"] == 0
