import json
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.incidents.ending import expect_json
from tests.incidents.ledger import open_ledger
from tests.incidents.program import ready_service, serve
from tests.postgres.cluster import TEMPLATE, Cluster

SECRET = "zw9Kq4Tn7Vb2Xc5Mh8Rj3Ld6Pf1Gs0YaUe7Wo4QiBn6Mv8Cx1ZlKj"
FIT = {
    "ENVIRONMENT": "production",
    "SIDECAR_TOKEN": "Qm7Xv2Lr9TzWb4NcYd1KfGs6JpEu0AHh3oPiRtUwVx5ZyBnMkLqS",
    "SECRET_KEY": SECRET,
    "GEMINI_API_KEY": SECRET[::-1],
    "CORS_ORIGINS": "https://shop.acme.io",
    "SIDECAR_DRAIN_DELAY_SECONDS": "0",
    # What the harness sets for all other tests is what is under test here.
    "SIDECAR_LOG_FORMAT": "auto",
}
COMPLAINING = """
import asyncio, gc, threading, warnings

warnings.warn("two\\nlines")

class Ill:
    def __del__(self):
        raise ValueError("ignored")

Ill()

def fail():
    raise LookupError("in a thread")

thread = threading.Thread(target=fail)
thread.start()
thread.join()

loop = asyncio.new_event_loop()
forgotten = loop.create_future()
forgotten.set_exception(ValueError("never retrieved"))
del forgotten
gc.collect()
loop.close()
raise ImportError("no \\x1b such thing")
"""
UNDECLARED = {
    "STRIPE_API_KEY": "canary-stripe-4Jq8",
    "REDIS_PASSWORD": "canary-redis-9Tz",
    "LOYALTY_NUMBER": "canary-loyalty-31",
    "BROKER_URL": "amqp://shop:canary-broker%2F77@mq.acme.io/shop",
    # Common enough that masking it would hide what the log says.
    "PGADMIN_PASSWORD": "postgres",
}
SEEN = ("canary-stripe-4Jq8", "canary-redis-9Tz", "canary-loyalty-31", "canary-broker/77")


@pytest.fixture
async def shop_database(cluster: Cluster) -> AsyncIterator[str]:
    """DSN of a migrated database; one called `test_...` is refused in production."""
    name = f"shop_{uuid.uuid4().hex[:12]}"
    await cluster.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield cluster.dsn(name)
    await cluster.drop_database(name)


async def test_production_logs_are_json_line_by_line(tmp_path: Path, shop_database: str) -> None:
    async with (
        ready_service(tmp_path, shop_database, **FIT) as program,
        open_ledger(shop_database, seed=1) as ledger,
    ):
        await ledger.pay("bad", 1, memo="poison")
        failed = await program.line("sidecar.event.failed", action="park")
        program.send(signal.SIGTERM)
        assert await program.wait(10.0) == 0
    lines = [json.loads(line) for line in program.output().splitlines()]
    assert {line["process"] for line in lines} == {"probe", "worker-1"}
    assert all({"time", "level", "logger", "message", "service"} <= line.keys() for line in lines)
    assert len(failed["trace_id"]) == 32
    assert len(failed["span_id"]) == 16
    assert SECRET not in program.output()
    assert SECRET[::-1] not in program.output()


async def test_a_secret_that_only_the_service_knows_is_masked_in_the_log(
    tmp_path: Path, shop_database: str
) -> None:
    (tmp_path / "sidecar.toml").write_text('required = ["LOYALTY_NUMBER"]')
    async with (
        ready_service(tmp_path, shop_database, SIDECAR_LOG_FORMAT="json", **UNDECLARED) as program,
        open_ledger(shop_database, seed=1) as ledger,
    ):
        await ledger.pay(f"bad {' '.join(SEEN)}", 1, memo="poison")
        failed = await program.line("sidecar.event.failed", action="park")
        changed = await program.line("sidecar.check.changed", check="postgres")
    assert failed["exception"].endswith("CannotBookError: cannot book for bad *** *** *** ***")
    assert changed["check"] == "postgres"
    assert [canary for canary in SEEN if canary in program.output()] == []


async def test_what_python_itself_complains_of_is_json_too(tmp_path: Path, database: str) -> None:
    (tmp_path / "complaining.py").write_text(COMPLAINING)
    path = {"PYTHONPATH": str(tmp_path)}
    async with serve(tmp_path, database, "complaining:publisher", **path) as program:
        uncaught = await program.line("sidecar.process.uncaught")
        await program.line("sidecar.worker.exited")
        lines = expect_json(program.output().rpartition("\n")[0])
    assert uncaught["message"] == "ImportError: no \x1b such thing"
    assert uncaught["exception"].startswith("Traceback")
    assert uncaught["process"] == "worker-1"
    seen = {(line["logger"], line.get("event")) for line in lines}
    assert seen >= {
        ("py.warnings", None),
        ("asyncio", None),
        ("sidecar", "sidecar.thread.uncaught"),
        ("sidecar", "sidecar.process.ignored"),
    }
