"""Pages follow each other, and so do checkpoints, whatever the head does meanwhile."""

import pytest

from sidecar.projections.page import PageReader
from sidecar.projections.projection import PAGE_EVENTS
from sidecar.projections.route import Router
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage

EVENTS = 2 * PAGE_EVENTS + PAGE_EVENTS // 2


async def read_positions(stage: Stage) -> list[int]:
    (partition,) = stage.partitions
    router = Router(stage.subscriptions[partition.projection].subscriber, stage.publisher.types)
    pages = PageReader(stage.desk, partition, stage.head, router)
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


async def test_checkpoint_never_goes_back(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        (partition,) = stage.partitions
        for position in (0, 7):
            async with stage.desk.begin(partition, position, eager=True, repeatable=True) as work:
                await work.move(7)
        with pytest.raises(ValueError, match="journal would go back from 7 to 6"):
            async with stage.desk.begin(partition, 7, eager=True, repeatable=True) as work:
                await work.move(6)
        assert await stage.checkpoint() == 7
