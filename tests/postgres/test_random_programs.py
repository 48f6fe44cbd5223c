"""Random handlers leave the same rows and dead letters in every way, and in a worker's store.

2,000 of them: `pytest tests/postgres/test_random_programs.py --programs 2000`; what fails names
its seed.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from sidecar.postgres.verify.scratch import Scratch, open_scratch
from sidecar.projections.context import PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Router
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.projection import Partition
from sidecar.projections.rebuild_copy import RebuildCopy
from sidecar.projections.runner import Runner
from sidecar.testing.hasty import Deaf, HastyContext, RetryAtOnce, ToTheHead
from sidecar.testing.parting import compare_letters, compare_rows
from sidecar.testing.play import ATTEMPTS, Outcome, Player
from sidecar.testing.script import write_records
from sidecar.testing.watch import Watch
from sidecar.testing.way import AGAIN, PLAIN, RESTARTED, Way, choose_ways
from tests.postgres import rebuilding
from tests.postgres.programs import Script, types
from tests.postgres.stage import Stage, open_stage, session

TWICE: Final = (AGAIN, RESTARTED)
"""These find what the programs do not have: clocks, and what an object keeps."""
PUBLIC: Final = "public"

# As it was made: without the triggers that keep what is deleted.
_CLEAR: Final = """
SET session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'sidecar'::regnamespace
        AND relkind = 'r' AND relname <> 'migrations'
    LOOP EXECUTE format('TRUNCATE sidecar.%I RESTART IDENTITY CASCADE', name); END LOOP;
END $$;
DROP TABLE IF EXISTS sums, notes, parts, total CASCADE;
DROP SCHEMA IF EXISTS sidecar_old_programmed CASCADE
"""
_LETTERS: Final = """
SELECT position, error_type FROM sidecar.dead_letters WHERE resolution IS NULL ORDER BY position
"""

MakeCopy = Callable[[PartitionContext, Cursor], Any]


@pytest.mark.timeout(0)
async def test_random_programs_end_the_same_in_every_way(
    database: str, request: pytest.FixtureRequest
) -> None:
    first, programs = request.config.getoption("--seed"), request.config.getoption("--programs")
    async with open_scratch(database) as scratch:
        for seed in range(first, first + programs):
            try:
                await expect_same(database, scratch, seed)
            except BaseException as error:
                error.add_note(f"--programs 1 --seed {seed}")
                raise


async def expect_same(dsn: str, scratch: Scratch, seed: int) -> None:
    script = Script(seed)
    records = write_records(script.events, types)
    player = Player(script.projection, types, dsn, scratch, (), Watch())
    plain = await player.play(PLAIN, records)
    for way in draw_ways(player, len(records), seed):
        require_same(way.name, plain, await player.play(way, records))
    await expect_same_in_a_worker(dsn, scratch, script, plain)


def draw_ways(player: Player, events: int, seed: int) -> Sequence[Way]:
    """Return the ways in which nothing goes wrong, and some in which something does."""
    ways = [way for way in choose_ways(player.subscribe(), events) if way not in TWICE]
    calm = [way for way in ways if way.makes_fault is PLAIN.makes_fault]
    faulty = [way for way in ways if way not in calm]
    pages = [way for way in calm if way.page_events != PLAIN.page_events]
    chance = random.Random(seed)
    left_out = chance.sample(pages, len(pages) - 1)
    return [*(way for way in calm if way not in left_out), chance.choice(faulty)]


def require_same(way: str, plain: Outcome, other: Outcome) -> None:
    parting = compare_rows(plain.shapes, plain.rows, other.rows)
    assert parting is None, f"when {way}: {parting.lines}"
    parting = compare_letters(plain.dead_letters, other.dead_letters, in_order=False)
    assert parting is None, f"when {way}: {parting.lines}"


async def expect_same_in_a_worker(
    dsn: str, scratch: Scratch, script: Script, plain: Outcome
) -> None:
    """Have it done by loops with a service's log, checkpoints and dead letters; then rebuild."""
    async with session(dsn) as connection:
        await connection.execute(_CLEAR)
    async with open_stage(dsn, script.projection, types=types) as stage:
        for stream, event in script.events:
            await stage.store.append(stream, [event])
        await asyncio.gather(*(follow(stage, part, ToTheHead) for part in stage.partitions))
        letters = [tuple(row) for row in await stage.pool.fetch(_LETTERS)]
        failed = [(each.record.position, each.error_type) for each in plain.dead_letters]
        assert letters == sorted(failed)
        await expect_rows(scratch, plain)
        if letters or script.projection.has_guards:
            return
        await rebuilding.start(stage, script.projection.name)
        copies = [replace(partition, copy="rebuild") for partition in stage.partitions]
        await until_one_swaps(stage, copies)
        # A part of the copy may have been a few events behind.
        await asyncio.gather(*(follow(stage, part, ToTheHead) for part in stage.partitions))
        await expect_rows(scratch, plain)


async def until_one_swaps(stage: Stage, copies: Sequence[Partition]) -> None:
    """Rebuild; the loop that swaps ends, and a worker ends the others."""
    tasks = [asyncio.create_task(follow(stage, copy, RebuildCopy)) for copy in copies]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def expect_rows(scratch: Scratch, plain: Outcome) -> None:
    parting = compare_rows(plain.shapes, plain.rows, await scratch.read(plain.shapes, PUBLIC))
    assert parting is None, f"in a worker: {parting.lines}"


async def follow(stage: Stage, partition: Partition, make_copy: MakeCopy) -> None:
    """Run a loop to the end of the log."""
    head = HeadSignal()
    head.advance(await stage.pool.fetchval("SELECT max(position) FROM sidecar.events"))
    subscription = stage.subscriptions[partition.projection]
    context = HastyContext(
        subscription=subscription,
        partition=partition,
        router=Router(subscription.subscriber, types),
        store=stage.projection_store,
        head=head,
        observer=Deaf(),
        policy=RetryAtOnce(max_attempts=ATTEMPTS),
    )
    await Runner(context, make_copy).run()
