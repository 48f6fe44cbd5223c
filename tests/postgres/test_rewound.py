"""A checkpoint that is set back, by a replay or a swap, while its loop has nothing to do."""

from typing import Final

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.rebuild.rebuild import replay_handler
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
# As before an event has failed often enough to be a dead letter.
WAIT: Final = "UPDATE sidecar.dead_letters SET category = 'retry', retry_at = 'infinity'"


class Mailer:
    """Keeps what it was told, and fails for amounts in `broken`."""

    name = "mailer"

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.broken: set[int] = set()

    async def handle(self, event: Placed) -> None:
        if event.amount in self.broken:
            raise ConnectionRefusedError
        self.heard.append(event.amount)


async def replay(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        await replay_handler(connection, "mailer")


async def test_replay_begins_while_no_event_comes(database: str) -> None:
    mailer = Mailer()
    async with open_stage(database, handlers=[mailer]) as stage:
        await stage.place("order-1", 1, 2)
        stage.start()
        await stage.settle()
        await replay(stage)

        async def is_heard_again() -> bool:
            return mailer.heard == [1, 2, 1, 2]

        await eventually(is_heard_again)
        await stage.stop()


async def test_event_that_waited_for_its_next_try_leaves_no_dead_letter_behind_a_replay(
    database: str,
) -> None:
    mailer = Mailer()
    mailer.broken.add(2)
    async with open_stage(database, handlers=[mailer], policy=ONCE) as stage:
        await stage.place("order-1", 1, 2)
        await stage.catch_up()
        mailer.broken.clear()
        await stage.pool.execute(WAIT)
        await replay(stage)
        await stage.catch_up()
        assert mailer.heard == [1, 1, 2]
        assert await stage.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters") == 0


async def test_replay_leaves_out_nothing_of_a_stream_that_is_parked(database: str) -> None:
    mailer = Mailer()
    mailer.broken.add(2)
    async with open_stage(database, handlers=[mailer], policy=ONCE) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
        mailer.broken.clear()
        mailer.heard.clear()
        await replay(stage)
        await stage.catch_up()
        assert mailer.heard == [1, 2, 3]
        assert await stage.letters() == []
        reason = await stage.pool.fetchval("SELECT reason FROM sidecar.dead_letters")
        assert reason == "heard again in a replay"


async def test_refused_replay_leaves_the_letters_of_a_projection(database: str) -> None:
    journal = Journal()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.catch_up()
        async with stage.pool.acquire() as connection:
            with pytest.raises(ProjectionError, match="no handler"):
                await replay_handler(connection, "journal")
        assert len(await stage.letters()) == 1


async def test_idle_loop_notices_that_a_swap_set_it_back(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1, 2)
        stage.start()
        await stage.settle()
        await stage.pool.execute("UPDATE sidecar.checkpoints SET position = 1")

        async def is_applied_again() -> bool:
            return [line.version for line in await stage.lines()] == [1, 2, 2]

        await eventually(is_applied_again)
        await stage.stop()
