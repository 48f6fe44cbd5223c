"""`sidecar projections step` as a program."""

import json
from pathlib import Path

import pytest

from tests.postgres.rebuilding import Totals
from tests.postgres.stage import open_stage
from tests.postgres.test_rebuild_command import Shell

MODULE = """
from sidecar import EventPublisher
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import types

publisher = EventPublisher(types)
publisher.add_projection(Totals())
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "stepping.py").write_text(MODULE)
    return Shell(tmp_path)


async def test_statements_and_changes_of_each_event_are_printed(
    database: str, shell: Shell
) -> None:
    words = ("projections", "step", "totals", "--target", "stepping:publisher", "--stream", "a")
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 3, 4)
        ended = await shell.run(stage.dsn, *words)
        assert ended.code == 0, ended.err
        assert "version 2, position 2: Placed" in ended.out
        assert "sent    INSERT INTO totals AS t VALUES ($1, $2, 1)" in ended.out
        assert "[\"'a'\", " not in ended.out
        assert (
            'changed totals {"amount":3,"events":1,"stream":"a"} to '
            '{"amount":7,"events":2,"stream":"a"}' in ended.out
        )
        ended = await shell.run(stage.dsn, *words, "--from", "2", "--format", "json")
        [step] = json.loads(ended.out)
        assert step["changes"][0]["after"] == {"amount": 7, "events": 2, "stream": "a"}
        ended = await shell.run(stage.dsn, *words, "--from", "2", "--upto", "1")
        assert (ended.code, "--upto 1 lies before --from 2" in ended.err) == (2, True)
        ended = await shell.run(stage.dsn, *words, "--from", "3")
        assert (ended.code, "has no event from version 3 on" in ended.err) == (1, True)


async def test_secrets_are_masked_and_long_values_cut(database: str, shell: Shell) -> None:
    words = ("projections", "step", "totals", "--target", "stepping:publisher", "--stream", "a")
    secret = "postgres://shop:hunter2hunter2@db/shop"
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, order=f"{secret} {'x' * 10_000}\x1b[2J")
        ended = await shell.run(stage.dsn, *words)
        as_json = await shell.run(stage.dsn, *words, "--format", "json")
    assert "with the events of stream 'a' alone" in ended.err
    assert "hunter2" not in ended.out + as_json.out
    assert "\x1b" not in ended.out + as_json.out
    assert len(ended.out) < 1500
    assert len(json.loads(as_json.out)[0]["data"]["order"]) > 10_000
