"""Pages follow each other, and so do checkpoints, whatever the head does meanwhile."""

import asyncio
import random

import pytest

from sidecar.events.event_log import PAGE_EVENTS
from sidecar.postgres.log import page
from sidecar.projections.page_reader import PageReader
from sidecar.projections.projection import Partition
from tests.postgres.shop import Journal, Paid, Placed
from tests.postgres.stage import Stage, open_stage

EVENTS = 2 * PAGE_EVENTS + PAGE_EVENTS // 2


async def read_positions(stage: Stage) -> list[int]:
    (partition,) = stage.partitions
    pages = PageReader(stage.make_context(partition))
    positions: list[int] = []
    after = 0
    while page := await pages.take(after):
        assert page.upto >= after
        positions += [delivery.record.position for delivery in page.deliveries]
        after = page.upto
        # Before the page ahead is read.
        stage.head.restart()
        await stage.advance()
    return positions


async def test_head_that_starts_anew_while_pages_are_read_ahead_leads_nobody_back(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", *range(1, EVENTS + 1))
        await stage.advance()
        assert await read_positions(stage) == list(range(1, EVENTS + 1))


async def test_page_ahead_is_not_read_before_the_transaction_of_the_one_taken_is_open(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", *range(1, EVENTS + 1))
        await stage.advance()
        (partition,) = stage.partitions
        pages = PageReader(stage.make_context(partition))
        page = await pages.take(0)
        ahead = pages._ahead
        assert page is not None
        assert ahead is not None
        await asyncio.sleep(0.1)
        assert not ahead.done()
        pages.read_ahead()
        assert (await asyncio.shield(ahead)).after == page.upto
        await pages.close()


async def test_checkpoint_never_goes_back(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        (partition,) = stage.partitions
        for position in (0, 7):
            async with stage.projection_store.begin(
                partition, position, eager=True, repeatable=True
            ) as work:
                await work.move(7)
        with pytest.raises(ValueError, match="journal would go back from 7 to 6"):
            async with stage.projection_store.begin(
                partition, 7, eager=True, repeatable=True
            ) as work:
                await work.move(6)
        assert await stage.checkpoint() == 7


async def test_page_holds_the_wanted_types_and_looks_no_further_than_its_span(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SPAN_POSITIONS", 10)
    partition = Partition("journal")
    async with open_stage(database, Journal()) as stage:
        await stage.store.append("a", [*[Paid("a")] * 14, Placed("a", 1), *[Paid("a")] * 15])
        head = await stage.advance()
        assert head == 30
        spans = []
        after = 0
        while after < head:
            span = await stage.projection_store.read_page(partition, after, head, ["Placed"])
            spans.append(([record.position for record in span.records], span.upto))
            after = span.upto
        assert spans == [([], 10), ([15], 20), ([], 30)]
        whole = await stage.projection_store.read_page(partition, 0, head, None)
        assert len(whole.records) == whole.upto == head
        await stage.catch_up()
        assert [line.position for line in await stage.lines()] == [15]


@pytest.mark.parametrize("types", [None, ["Placed"]])
async def test_page_is_bounded_in_bytes_whatever_the_server_makes_of_them(
    database: str, monkeypatch: pytest.MonkeyPatch, types: list[str] | None
) -> None:
    monkeypatch.setattr(page, "PAGE_BYTES", 100_000)
    partition = Partition("journal")
    noise = random.Random(7).randbytes(30_000).hex()
    # One that PostgreSQL stores in a hundredth of its size, and one that it can hardly shorten.
    for text, most in (("x" * 60_000, 20), (noise, 5)):
        async with open_stage(database, Journal()) as stage:
            first = await stage.pool.fetchval(
                "SELECT coalesce(max(position), 0) FROM sidecar.events"
            )
            for _ in range(30):
                await stage.store.append("large", [Placed(text, 1)])
            head = await stage.advance()
            positions: list[int] = []
            after = first
            while after < head:
                span = await stage.projection_store.read_page(partition, after, head, types)
                assert 0 < len(span.records) <= most
                positions += [record.position for record in span.records]
                after = span.upto
            assert positions == list(range(first + 1, head + 1))


async def test_page_holds_small_events_with_a_large_one_among_them(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE_BYTES", 200 * PAGE_EVENTS)
    async with open_stage(database, Journal()) as stage:
        sizes = (10, 10, 1000, 10)
        await stage.store.append("mixed", [Placed("x" * size, 1) for size in sizes])
        head = await stage.advance()
        span = await stage.projection_store.read_page(Partition("journal"), 0, head, None)
        assert [len(str(record.fields()["order"])) for record in span.records] == list(sizes)
