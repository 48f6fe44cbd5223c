"""A user's projection passes `mypy --strict` with the public type of the connection."""

import subprocess
import sys
from pathlib import Path

SAMPLE = """
import io
import json
from contextlib import AbstractAsyncContextManager

import asyncpg

from sidecar import EventPublisher, Projection
from sidecar.events.subscriber import Connection


class Totals(Projection):
    name = "totals"
    tables = ("totals",)

    async def setup(self, connection: Connection) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS totals (k text, n int)")

    async def handle(self, event: object, connection: Connection) -> None:
        await connection.execute("INSERT INTO totals VALUES ($1, $2)", "a", 1, timeout=5)
        await connection.executemany("INSERT INTO totals VALUES ($1, $2)", [("a", 1)], timeout=5)
        async with connection.transaction():
            await connection.execute("DELETE FROM totals")
        block = connection.transaction()
        await block.start()
        await block.rollback()
        rows = await connection.fetch("SELECT * FROM totals WHERE k = $1", "a", timeout=1.5)
        await connection.fetchval("SELECT count(*) FROM totals", column=0)
        await connection.fetchmany("SELECT $1::int", [(1,), (2,)])
        await connection.copy_records_to_table("totals", records=[("a", 1)], columns=["k", "n"])
        await connection.copy_from_query("SELECT 1", output=io.BytesIO())
        await connection.copy_from_table("totals", output=io.BytesIO())
        await connection.copy_to_table("totals", source=io.BytesIO())
        async for row in connection.cursor("SELECT * FROM totals", prefetch=10):
            print(row["k"], rows[0]["n"])
        cursor = await connection.cursor("SELECT * FROM totals")
        await cursor.forward(1)
        statement = await connection.prepare("SELECT $1::int")
        await statement.fetchval(1)
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
        )
        assert connection.is_in_transaction()
        raw: asyncpg.Connection[asyncpg.Record] = await connection.raw()
        await raw.execute("SELECT 1")


def transaction() -> AbstractAsyncContextManager[asyncpg.pool.PoolConnectionProxy]:
    raise NotImplementedError


publisher = EventPublisher(transaction=transaction)
publisher.add_projection(Totals())
"""
WRONG = """
from sidecar.events.subscriber import Connection


async def handle(event: object, connection: Connection) -> None:
    status = await connection.execute("UPDATE totals SET n = 1")
    if status.endswith("0"):
        await connection.commit()
"""


def test_what_a_projection_may_do_passes_and_what_it_may_not_is_found(tmp_path: Path) -> None:
    for name, sample in {"right": SAMPLE, "wrong": WRONG}.items():
        (tmp_path / f"{name}.py").write_text(sample)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
    ]
    command += ["--cache-dir", str(tmp_path / "cache"), "right.py", "wrong.py"]
    found = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    ).stdout
    assert "right.py" not in found
    assert '"object" has no attribute "endswith"' in found
    assert '"Connection" has no attribute "commit"' in found
