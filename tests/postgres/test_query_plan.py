"""The statements of the hot paths touch few pages however long the log is."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.samples.sample import SkippedPositionCounter
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
    page = (1000, 8 * 1024 * 1024, None)
    event = (UUID, "Placed", 1, "{}", None)
    check(await explain(connection, "append_one", "order-1", None, *event), FEW_PAGES)
    many = ([UUID], ["Placed"], ["1"], ["{}"], None)
    check(await explain(connection, "append_many", "order-2", None, *many), FEW_PAGES)
    check(await explain(connection, "read_stream", "order-3", 0, 1000), FEW_PAGES)
    bounds = (500, 8 * 1024 * 1024)
    until = ("order-3", 1, end, *bounds, "journal")
    check(await explain(connection, "read_stream_until", *until), FEW_PAGES)
    check(await explain(connection, "read_stream_version", "order-3"), FEW_PAGES)
    check(await explain(connection, "read_log", end - 5000, end, 1000), FEW_PAGES)
    for statement in ("read_page", "read_small_page"):
        check(await explain(connection, statement, end - 5000, end, *page), FEW_PAGES)
        check(await explain(connection, statement, 10, end, *page), FEW_PAGES)
    check(await explain(connection, "scan_log", end - 100, 10_000), FEW_PAGES)


async def test_partition_page_reads_no_more_than_its_range(connection: RawConnection) -> None:
    share = (EVENTS - 4000, EVENTS, 1000, 8 * 1024 * 1024, None, 1, 4)
    check(await explain(connection, "read_partition_page", *share), 2 * FEW_PAGES)


async def test_sampling_looks_up_one_event_for_each_checkpoint(
    connection: RawConnection,
) -> None:
    # Index pages and one page of the log for each of 20 checkpoints.
    check(await explain(connection, "sample_projections", EVENTS), 20 * 4 + FEW_PAGES)
    await connection.execute("UPDATE sidecar.checkpoints SET position = 0")
    check(await explain(connection, "sample_projections", EVENTS), 20 * 4 + FEW_PAGES)


LETTERS: Final = """
    INSERT INTO sidecar.dead_letters (
        projection, stream, position, version, event_id, event_type, category, error_type,
        error_message, traceback, attempts, resolution, resolved_at
    )
    SELECT 'p-' || n % 4, 'order-' || n, n, 1, gen_random_uuid(), 'Placed', 'poison', 'KeyError',
           '', repeat('in handle ', 40), 3, $3, CASE WHEN $3::text IS NOT NULL THEN now() END
    FROM generate_series($1::bigint, $2::bigint) n
"""


async def test_sampling_looks_at_no_letter_that_is_resolved(connection: RawConnection) -> None:
    questions: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("sample_dead_letters", ()),
        ("sample_recent_failures", (20,)),
    )
    await connection.execute(LETTERS, 1, 200, None)
    await connection.execute("ANALYZE sidecar.dead_letters")
    before = [touched(await explain(connection, name, *args)) for name, args in questions]
    await connection.execute(LETTERS, 201, 20_000, "retried")
    await connection.execute("ANALYZE sidecar.dead_letters")
    for (name, args), few in zip(questions, before, strict=True):
        plan = await explain(connection, name, *args)
        assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}
        assert touched(plan) <= few + FEW_PAGES


async def test_counting_dead_positions_reads_each_once(connection: RawConnection) -> None:
    await connection.execute(
        "INSERT INTO sidecar.skipped_positions (first_position, last_position) "
        "SELECT 3 * n, 3 * n + 1 FROM generate_series(1, 20000) n; "
        "ANALYZE sidecar.skipped_positions"
    )
    count = SkippedPositionCounter()
    assert await count.count(connection) == 40_000
    await connection.execute("INSERT INTO sidecar.skipped_positions VALUES (90000, 90004)")
    assert await count.count(connection) == 40_005
    assert touched(await explain(connection, "sample_skips", 60_000)) <= FEW_PAGES
    assert touched(await explain(connection, "read_proved_position")) <= FEW_PAGES


def touched(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
