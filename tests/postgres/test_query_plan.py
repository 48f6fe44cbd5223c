"""The statements of the hot paths touch few pages however long the log is."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from tests.postgres.cluster import TEMPLATE, Cluster
from tests.postgres.stage import session

EVENTS: Final = 120_000
# Pages of 8 KiB that a look at one place of the log may touch; the whole log has thousands.
FEW_PAGES: Final = 60
UUID: Final = "00000000-0000-4000-8000-000000000000"

FILL: Final = f"""
    INSERT INTO sidecar.events (stream, version, type, data)
    SELECT 'order-' || n % 10000, 1 + n / 10000, 'Placed', '{{"order": "1", "amount": 1}}'
    FROM generate_series(0, {EVENTS - 1}) n;
    INSERT INTO sidecar.checkpoints (projection, position)
    SELECT 'p-' || n, {EVENTS} - 10 * n FROM generate_series(1, 20) n;
    ANALYZE sidecar.events;
    ANALYZE sidecar.checkpoints;
"""


@pytest.fixture
async def connection(cluster: Cluster) -> AsyncIterator[RawConnection]:
    async with cluster.database(TEMPLATE) as dsn, session(dsn) as connection:
        await connection.execute(FILL)
        yield connection


async def explain(connection: RawConnection, name: str, *args: object) -> dict[str, Any]:
    query = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql(name)}"
    plan: dict[str, Any] = json.loads(await connection.fetchval(query, *args))[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def check(plan: dict[str, Any], pages: int) -> None:
    on_log = [node for node in nodes(plan) if node.get("Relation Name") == "events"]
    reads = [node["Node Type"] for node in on_log if node["Node Type"] != "ModifyTable"]
    assert reads
    assert {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"} >= set(reads), reads
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= pages


async def test_hot_statements_use_indexes_on_a_long_log(connection: RawConnection) -> None:
    end = EVENTS
    page = (1000, 8 * 1024 * 1024)
    event = (UUID, "Placed", 1, "{}", None)
    check(await explain(connection, "append_one", "order-1", None, *event), FEW_PAGES)
    many = ([UUID], ["Placed"], [1], ["{}"], None)
    check(await explain(connection, "append_many", "order-2", None, *many), FEW_PAGES)
    check(await explain(connection, "read_stream", "order-3", 0, 1000), FEW_PAGES)
    bounds = (500, 8 * 1024 * 1024)
    check(await explain(connection, "read_stream_until", "order-3", 1, end, *bounds), FEW_PAGES)
    check(await explain(connection, "read_stream_version", "order-3"), FEW_PAGES)
    check(await explain(connection, "read_log", end - 5000, end, 1000), FEW_PAGES)
    check(await explain(connection, "read_page", end - 5000, end, *page), FEW_PAGES)
    check(await explain(connection, "read_page", 10, end, *page), FEW_PAGES)
    check(await explain(connection, "look_at_head", end - 100, 10_000), FEW_PAGES)


async def test_partition_page_reads_no_more_than_its_range(connection: RawConnection) -> None:
    share = (EVENTS - 4000, EVENTS, 1000, 8 * 1024 * 1024, 1, 4)
    check(await explain(connection, "read_partition_page", *share), 2 * FEW_PAGES)


async def test_sampling_looks_up_one_event_for_each_checkpoint(
    connection: RawConnection,
) -> None:
    # Index pages and one page of the log for each of 20 checkpoints.
    check(await explain(connection, "sample_projections", EVENTS), 20 * 4 + FEW_PAGES)
    await connection.execute("UPDATE sidecar.checkpoints SET position = 0")
    check(await explain(connection, "sample_projections", EVENTS), 20 * 4 + FEW_PAGES)
