"""`append-one` and `append-batch`: the store against the same rows by raw asyncpg."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import msgspec

from sidecar.postgres.connection import RawPool, server_settings
from sidecar.postgres.store import EventStore
from tests.benchmarks.measure import Measure, Pair, Result, alternate, ratio_at_least
from tests.benchmarks.place import Place, make_pool
from tests.benchmarks.shop import make_order, make_orders, types

WRITERS: Final = 16
EVENTS_PER_WRITER: Final = 50
BATCH_EVENTS: Final = 1000
BATCHES: Final = 5
# Many short rounds, so that a busy neighbour meets both sides.
ROUNDS: Final = 15

INSERT_ONE: Final = (
    "INSERT INTO raw_events (stream, version, id, type, schema_version, data, metadata)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING position"
)
INSERT_MANY: Final = (
    "INSERT INTO raw_events (stream, version, id, type, schema_version, data)"
    " SELECT $1, e.version, e.id, e.type, e.schema_version, e.data"
    " FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::integer[], $6::json[])"
    " AS e (version, id, type, schema_version, data)"
)

_encode: Final = msgspec.json.Encoder().encode

Writer = Callable[[str], Awaitable[int]]
"""Writes to one stream and returns how many events that were."""


async def run(place: Place) -> list[Result]:
    """Measure both on one database with two equal tables."""
    async with _open(await place.create_database("append")) as (store, raw):
        one = await _compare(
            WRITERS, lambda stream: _append_ones(store, stream), lambda s: _insert_ones(raw, s)
        )
        batch = await _compare(
            1, lambda stream: _append_batches(store, stream), lambda s: _insert_batches(raw, s)
        )
    return [
        Result("append-one", "events/s", one, ratio_at_least(0.8), "asyncpg INSERT, 16 writers"),
        Result("append-batch", "events/s", batch, ratio_at_least(0.9), "asyncpg unnest INSERT"),
    ]


@asynccontextmanager
async def _open(dsn: str) -> AsyncIterator[tuple[EventStore, RawPool]]:
    """Lend both sides a pool of the same size and the same session settings."""
    settings = server_settings("benchmark raw")
    async with (
        make_pool(dsn, WRITERS) as pool,
        asyncpg.create_pool(
            dsn, min_size=WRITERS, max_size=WRITERS, server_settings=settings
        ) as raw,
    ):
        await raw.execute("CREATE TABLE raw_events (LIKE sidecar.events INCLUDING ALL)")
        yield EventStore(pool, types), raw


async def _compare(writers: int, ours: Writer, peer: Writer) -> Pair:
    def measured(write: Writer) -> Measure:
        async def measure() -> float:
            streams = [uuid.uuid4().hex for _ in range(writers)]
            began = time.perf_counter()
            written = await asyncio.gather(*map(write, streams))
            return sum(written) / (time.perf_counter() - began)

        return measure

    return await alternate(measured(ours), measured(peer), rounds=ROUNDS)


async def _append_ones(store: EventStore, stream: str) -> int:
    for version in range(EVENTS_PER_WRITER):
        await store.append(stream, (make_order(version),), expected_version=version)
    return EVENTS_PER_WRITER


async def _insert_ones(raw: RawPool, stream: str) -> int:
    for version in range(EVENTS_PER_WRITER):
        data = _encode(make_order(version)).decode()
        await raw.fetchval(
            INSERT_ONE, stream, version + 1, uuid.uuid4(), "OrderPlaced", 1, data, None
        )
    return EVENTS_PER_WRITER


async def _append_batches(store: EventStore, stream: str) -> int:
    for number in range(BATCHES):
        orders = make_orders(0, BATCH_EVENTS)
        await store.append(stream, orders, expected_version=number * BATCH_EVENTS)
    return BATCHES * BATCH_EVENTS


async def _insert_batches(raw: RawPool, stream: str) -> int:
    for number in range(BATCHES):
        first = number * BATCH_EVENTS + 1
        data = [_encode(order).decode() for order in make_orders(0, BATCH_EVENTS)]
        await raw.execute(
            INSERT_MANY,
            stream,
            list(range(first, first + BATCH_EVENTS)),
            [uuid.uuid4() for _ in data],
            ["OrderPlaced"] * BATCH_EVENTS,
            [1] * BATCH_EVENTS,
            data,
        )
    return BATCHES * BATCH_EVENTS
