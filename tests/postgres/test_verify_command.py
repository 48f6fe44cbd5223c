"""`sidecar projections verify` as a program beside a worker."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from sidecar.events.subscriber import Connection
from sidecar.postgres.verify.key_events import add_key_events
from sidecar.projections.comparison import Difference, Kind, Report, TableReport
from tests.postgres import verifying
from tests.postgres.rebuilding import Totals, fill, until_live
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session
from tests.postgres.test_rebuild_command import Shell


class NewKeys:
    """Makes a key for each row, another one at each replay."""

    handles = (Placed,)
    name = "new_keys"
    tables = ("new_keys",)
    partitions = 2

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS new_keys (id uuid PRIMARY KEY, amount int)"
        )

    async def handle(self, event: Placed, connection: Connection) -> None:
        await connection.execute("INSERT INTO new_keys VALUES ($1, $2)", uuid4(), event.amount)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, Totals(), Totals("sums")) as stage:
        await fill(stage, 300, streams=10)
        async with verifying.working(stage):
            await until_live(stage)
            await until_live(stage, "sums")
            yield stage


async def test_a_sound_read_model_is_said_so_and_exits_with_0(stage: Stage, shell: Shell) -> None:
    ended = await shell.run(stage.dsn, "projections", "verify", "--all")
    assert ended.code == 0
    assert "totals: no difference in 10 rows, verified at position 300" in ended.out
    assert "sums: no difference in 10 rows" in ended.out


async def test_each_wrong_row_is_printed_with_its_columns(stage: Stage, shell: Shell) -> None:
    await stage.pool.execute("UPDATE totals SET amount = -1 WHERE stream = 's3'")
    await stage.pool.execute("INSERT INTO totals VALUES ('\x1b[31mred', 1, 1)")
    ended = await shell.run(stage.dsn, "projections", "verify", "totals")
    assert ended.code == 1
    assert "2 rows are wrong (1 extra, 1 different)" in ended.out
    assert "s3: different in amount" in ended.out
    assert "\x1b" not in ended.out
    ended = await shell.run(stage.dsn, "projections", "verify", "totals", "--format", "json")
    [found] = json.loads(ended.out)
    assert found["state"] == "drifted"
    assert found["report"]["tables"][0]["counts"] == {"extra": 1, "different": 1}


async def test_what_a_replay_cannot_repeat_is_said(database: str, shell: Shell) -> None:
    async with open_stage(database, NewKeys()) as stage, verifying.working(stage):
        await stage.place("a", 1, 2)
        await until_live(stage, "new_keys")
        ended = await shell.run(stage.dsn, "projections", "verify", "new_keys")
        assert (
            "no row has the key that the replay gave it; --ignore id compares the rest" in ended.out
        )
        assert "its 2 partitions apply events of different streams in no fixed order" in ended.out
        ended = await shell.run(stage.dsn, "projections", "verify", "new_keys", "--ignore", "id")
    assert (ended.code, "no difference in 2 rows" in ended.out) == (0, True)


async def test_the_events_of_a_wrong_row_are_named_with_the_command_that_shows_them(
    stage: Stage, shell: Shell
) -> None:
    await stage.pool.execute("UPDATE totals SET amount = -1 WHERE stream = 's3'")
    ended = await shell.run(stage.dsn, "projections", "verify", "totals")
    positions = ", ".join(str(position) for position in range(204, 300, 10))
    assert f"events of s3: stream s3, positions {positions}" in ended.out
    assert (
        "sidecar projections step totals --target MODULE:PUBLISHER --stream s3 --from 1 --upto 30"
    ) in ended.out


async def test_events_are_found_by_a_part_of_their_streams_name_or_by_their_data(
    database: str,
) -> None:
    async with open_stage(database) as stage, session(database) as connection:
        await stage.place("order-Köln 4", 1, 2)
        await stage.place("bill-9", 1, order="A'77")
        for key, stream, is_named in (
            ("Köln 4", "order-Köln 4", True),
            ("A'77", "bill-9", False),
            ("nowhere", None, None),
        ):
            wrong = Difference(Kind.DIFFERENT, (key,), ("amount",))
            table = TableReport("totals", key=("id",), differences=(wrong,))
            report = Report((table,), upto_position=3)
            async with connection.transaction():
                (found,) = (await add_key_events(connection, report)).tables
            assert [(e.stream, e.is_named) for e in found.events] == (
                [] if stream is None else [(stream, is_named)]
            )


async def test_a_column_is_ignored_only_if_there_is_one(stage: Stage, shell: Shell) -> None:
    await stage.pool.execute("UPDATE totals SET amount = -1 WHERE stream = 's3'")
    arguments = ("projections", "verify", "totals", "--ignore")
    ended = await shell.run(stage.dsn, *arguments, "amuont")
    assert ended.code == 2
    assert "No table of totals has a column 'amuont': totals." in ended.err
    assert (await shell.run(stage.dsn, *arguments, "amount")).code == 0


async def test_what_cannot_be_verified_is_refused(stage: Stage, shell: Shell) -> None:
    ended = await shell.run(stage.dsn, "projections", "verify", "nobody")
    assert (ended.code, "There is no projection 'nobody'" in ended.err) == (1, True)
    ended = await shell.run(stage.dsn, "projections", "verify")
    assert (ended.code, "--all" in ended.err) == (2, True)
