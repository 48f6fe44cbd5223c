"""A release that renames what has no tables: a handler, or a projection that declares none."""

from typing import Final

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.acceptance import accept_new, accept_renamed
from sidecar.postgres.checkpoints.block import Block, remove
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.projections.ports import State
from sidecar.wiring.decision import Decision, decide
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.shop import BrokenOrderError, Paid, Placed
from tests.postgres.stage import Stage, open_stage, session


class Mailer:
    """Sends a mail per event under whatever name, which nothing takes back."""

    def __init__(
        self, name: str, handles: tuple[type, ...] = (Placed,), partitions: int = 1
    ) -> None:
        self.name: Final = name
        self.handles: Final = handles
        self.partitions: Final = partitions
        self.sent: list[str] = []

    async def handle(self, event: Placed | Paid) -> None:
        if event.order == "bad":
            raise BrokenOrderError(event.order)
        self.sent.append(event.order)


class Listing:
    """Lists the events in a table that it declares."""

    name = "listing"
    handles = (Placed,)
    tables = ("listed",)

    async def setup(self, connection: Connection) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS listed (number text)")

    async def handle(self, event: Placed, connection: Connection) -> None:
        await connection.execute("INSERT INTO listed VALUES ($1)", event.order)


def release(stage: Stage, *mailers: Mailer | Listing, as_handler: bool = True) -> Stage:
    """Return the database as a release sees it."""
    publisher = EventPublisher(stage.publisher.types)
    for mailer in mailers:
        if as_handler:
            publisher.add_handler(mailer)
        else:
            publisher.add_projection(mailer)
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


async def run(stage: Stage, *mailers: Mailer | Listing, as_handler: bool = True) -> Stage:
    """Start a release, let it do all there is to do, and stop it."""
    started = release(stage, *mailers, as_handler=as_handler)
    await set_up(started)
    await started.catch_up()
    return started


async def block_of(stage: Stage, name: str) -> tuple[str | None, str]:
    row = await stage.pool.fetchrow(
        "SELECT block, detail FROM sidecar.checkpoints WHERE projection = $1", name
    )
    assert row is not None
    return row["block"], row["detail"] or ""


@pytest.mark.parametrize("as_handler", [True, False])
@pytest.mark.parametrize("partitions", [1, 3])
async def test_it_waits_and_goes_on_where_the_old_name_stood(
    database: str, partitions: int, *, as_handler: bool
) -> None:
    async with open_stage(database) as stage:
        mail, sms = Mailer("mail", partitions=partitions), Mailer("sms", partitions=partitions)
        await run(stage, mail, as_handler=as_handler)
        await stage.place("a", 1)
        await stage.place("b", 1, order="bad")
        await stage.place("c", 1, order="bad")
        await run(stage, mail, as_handler=as_handler)
        [given_up, _] = await stage.letters()
        async with session(database) as connection:
            await discard(connection, given_up["id"], "test order")
        # What comes between the two releases is neither lost nor sent twice.
        await stage.place("d", 1)
        new = release(stage, sms, as_handler=as_handler)
        await set_up(new)
        await stage.place("e", 1)
        await set_up(new)
        assert (mail.sent, sms.sent) == (["a"], [])
        block, detail = await block_of(stage, "sms")
        assert block == Block.RENAMED
        assert "`sidecar projections accept sms --renamed-from mail --reason TEXT`" in detail
        assert "1 dead letter(s)" in detail
        async with session(database) as connection:
            assert await accept_renamed(connection, "sms", "mail", "clearer")
        await run(stage, sms, as_handler=as_handler)
        assert sms.sent == ["d", "e"]
        assert [(row["projection"], row["stream"]) for row in await stage.letters()] == [
            ("sms", "c")
        ]
        # A rollback of that release is the same the other way round.
        await stage.place("f", 1)
        await set_up(release(stage, mail, as_handler=as_handler))
        assert (await block_of(stage, "mail"))[0] == Block.RENAMED
        assert mail.sent == ["a"]


async def test_one_that_declares_its_table_no_more_is_asked_about_too(database: str) -> None:
    async with open_stage(database) as stage:
        old, new = Listing(), Mailer("sms")
        await stage.place("a", 1)
        await run(stage, old, as_handler=False)
        await set_up(release(stage, new, as_handler=False))
        assert (await block_of(stage, "sms"))[0] == Block.RENAMED
        async with session(database) as connection:
            assert await accept_renamed(connection, "sms", old.name, "clearer")
        await stage.place("b", 1)
        await run(stage, new, as_handler=False)
        assert new.sent == ["b"]


async def test_one_of_its_own_starts_where_it_stood_when_it_was_first_seen(database: str) -> None:
    async with open_stage(database) as stage:
        mail, sms = Mailer("mail"), Mailer("sms")
        await run(stage, mail)
        await stage.place("a", 1)
        await run(stage, mail)
        await set_up(release(stage, sms))
        await stage.place("b", 1)
        async with session(database) as connection:
            told = await decide(connection, None, "sms", Decision("push as well"))
            assert told == "it is one of its own, and starts after position 1"
            assert await accept_new(connection, "sms", "again") is None
        await run(stage, sms)
        assert sms.sent == ["b"]
        with pytest.raises(ProjectionError, match="--replay-effects --start-at 1"):
            async with session(database) as connection:
                await accept_renamed(connection, "sms", "mail", "too late")


@pytest.mark.parametrize("way", ["removed", "both"])
async def test_a_start_takes_the_block_away_when_its_cause_is_gone(database: str, way: str) -> None:
    async with open_stage(database) as stage:
        mail, sms = Mailer("mail"), Mailer("sms")
        await run(stage, mail)
        await stage.place("a", 1)
        await run(stage, mail)
        await set_up(release(stage, sms))
        if way == "removed":
            async with session(database) as connection:
                await remove(connection, "mail")
        await stage.place("b", 1)
        await run(stage, *((mail, sms) if way == "both" else (sms,)))
        assert await row_of(stage, "sms") == (State.RUNNING, None, 2)
        assert sms.sent == ["b"]


async def test_what_is_not_alike_starts_without_a_question(database: str) -> None:
    async with open_stage(database) as stage:
        mail, bank = Mailer("mail"), Mailer("bank", (Paid,))
        await run(stage, mail)
        await stage.place("a", 1)
        await run(stage, mail)
        # Of other types, of another kind, beside the old one, and of another service.
        await run(stage, bank)
        await run(stage, Mailer("plain"), as_handler=False)
        await run(stage, mail, Mailer("more"))
        await stage.pool.execute("UPDATE sidecar.checkpoints SET service = 'billing'")
        foreign = release(stage, Mailer("foreign"))
        await set_up(foreign, "shop")
        blocks = await stage.pool.fetch("SELECT FROM sidecar.checkpoints WHERE block IS NOT NULL")
        assert blocks == []


async def test_nearly_the_same_types_are_asked_about_and_several_names_are_told(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        await run(stage, Mailer("mail"), Mailer("pager"))
        await stage.place("a", 1)
        await run(stage, Mailer("mail"), Mailer("pager"))
        await set_up(release(stage, Mailer("sms", (Placed, Paid))))
        block, detail = await block_of(stage, "sms")
        assert block == Block.RENAMED
        assert "handles the events of mail and pager" in detail


async def test_one_that_had_not_begun_has_nothing_to_hand_over(database: str) -> None:
    async with open_stage(database) as stage:
        await run(stage, Mailer("mail"))
        await run(stage, Mailer("sms"))
        assert (await block_of(stage, "sms"))[0] is None
