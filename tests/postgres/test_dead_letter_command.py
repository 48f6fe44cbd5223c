"""`sidecar dead-letters` as a program beside a worker."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.events.publish_result import Failure
from sidecar.events.subscriber import SubscriberKind
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.projections.ports import State
from sidecar.projections.retry import RetryPolicy
from sidecar.wiring.sink import DeadLetterSink
from tests.incidents.program import Ended, finish
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import until_live, working
from tests.postgres.shop import Journal, Placed, types
from tests.postgres.stage import Stage, open_stage, session


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
async def stage(database: str, journal: Journal) -> AsyncIterator[Stage]:
    async with open_stage(database, journal, policy=RetryPolicy(max_attempts=1)) as stage:
        journal.broken = {"a", "b"}
        for stream in ("a", "b", "c"):
            await stage.place(stream, 1, 2)
        await stage.catch_up()
        yield stage


class Shell:
    """Runs `sidecar dead-letters` in a folder of its own."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self._dsn = dsn

    async def run(self, *arguments: str) -> Ended:
        environ = {"ENVIRONMENT": "development", "DATABASE_URL": self._dsn}
        words = ("dead-letters", *arguments)
        ended = await asyncio.to_thread(finish, self.folder, *words, **environ)
        assert "Traceback" not in ended.err
        return ended


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Shell:
    return Shell(tmp_path, database)


async def test_list_is_a_table_for_people_and_json_for_machines(stage: Stage, shell: Shell) -> None:
    table = await shell.run("list")
    assert table.code == 0
    head, first, second = table.out.strip().splitlines()
    assert head.split()[:5] == ["ID", "PROJECTION", "STREAM", "EVENT", "ERROR"]
    assert first.split()[:6] == ["1", "journal", "a", "Placed", "BrokenOrderError", "1"]
    assert second.split()[2] == "b"
    rows = json.loads((await shell.run("list", "--format", "json")).out)
    assert [(row["id"], row["stream"], row["resolution"]) for row in rows] == [
        (1, "a", None),
        (2, "b", None),
    ]
    some = await shell.run("list", "--stream", "b", "--error", "BrokenOrderError", "--format=json")
    assert [row["stream"] for row in json.loads(some.out)] == ["b"]
    assert json.loads((await shell.run("list", "--older-than", "999", "--format=json")).out) == []
    assert (await shell.run("list", "--projection", "nobody")).out == "No dead letters.\n"


async def test_show_tells_the_whole_story(stage: Stage, shell: Shell) -> None:
    text = (await shell.run("show", "1")).out
    assert "Placed at position 1" in text
    assert "a, version 1; 1 more wait behind it" in text
    assert text.rstrip().endswith("BrokenOrderError: a")
    shown = json.loads((await shell.run("show", "1", "--format", "json")).out)
    assert shown["data"] == '{"order":"a","amount":1}'
    missing = await shell.run("show", "4711")
    assert (missing.code, missing.out) == (2, "")
    assert missing.err.startswith("Error: There is no dead letter 4711")


async def test_what_an_event_holds_is_shown_and_never_sent_to_the_terminal(
    stage: Stage, shell: Shell, journal: Journal
) -> None:
    evil = "s-\x1b]0;PWNED\x07\x1b[2K\rforged\nline\x9b31m\u202e"
    journal.broken |= {evil}
    await stage.place(evil, 1)
    await stage.catch_up()
    shown = r"s-\x1b]0;PWNED\x07\x1b[2K\rforged\nline\x9b31m\u202e"
    for command in (("list",), ("show", "3"), ("list", "--stream", evil, "--format=json")):
        out = (await shell.run(*command)).out
        assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e"} & set(out)
        if "--format=json" in command:
            assert [row["stream"] for row in json.loads(out)] == [evil]
        else:
            assert shown in out


async def test_retry_waits_for_the_worker_and_tells_what_came_of_it(
    stage: Stage, shell: Shell, journal: Journal
) -> None:
    async with working(stage):
        await until_live(stage, "journal")
        journal.broken = {"b"}
        ended = await shell.run("retry", "--all")
        assert (ended.code, ended.out.splitlines()[-1]) == (
            1,
            "1 taken up again, 1 failed again.",
        )
        journal.broken = set()
        ended = await shell.run("retry", "2")
        assert (ended.code, ended.out.splitlines()[-1]) == (
            0,
            "1 taken up again, 0 failed again.",
        )
        ended = await shell.run("retry", "--projection", "journal")
        assert (ended.code, ended.out) == (0, "No open dead letter matches.\n")
        ended = await shell.run("retry", "2")
        assert (ended.code, ended.err) == (2, "Error: Dead letter 2 was retried already.\n")
    everything = json.loads((await shell.run("list", "--all", "--format=json")).out)
    assert [row["resolution"] for row in everything] == ["retried", "retried"]


async def test_retry_waits_for_a_worker_that_takes_over(
    stage: Stage, shell: Shell, journal: Journal
) -> None:
    journal.broken = set()
    retrying = asyncio.create_task(shell.run("retry", "--stream", "a"))

    async def is_asked() -> bool:
        return bool(await stage.pool.fetchval("SELECT count(retry_at) FROM sidecar.dead_letters"))

    await eventually(is_asked)
    async with working(stage):
        ended = await retrying
    assert (ended.code, ended.out) == (0, "1 taken up again, 0 failed again.\n")


async def test_retry_without_a_worker_says_so_and_does_not_wait_for_ever(
    stage: Stage, shell: Shell
) -> None:
    ended = await shell.run("retry", "--stream", "a")
    assert (ended.code, ended.out) == (1, "")
    assert "No worker runs journal." in ended.err
    ended = await shell.run("retry", "--all", "--no-wait")
    assert (ended.code, ended.out) == (0, "Asked for a retry of 2.\n")


async def test_retry_of_a_paused_projection_says_so_and_does_not_wait_for_ever(
    stage: Stage, shell: Shell, journal: Journal
) -> None:
    journal.broken = set()
    async with working(stage), session(stage.dsn) as connection:
        await until_live(stage, "journal")
        await set_state(connection, "journal", State.PAUSED)
        ended = await shell.run("retry", "--stream", "a")
        assert (ended.code, ended.out) == (1, "")
        assert "journal is paused; `sidecar projections resume journal`" in ended.err
        await set_state(connection, "journal", State.RUNNING)
        assert (await shell.run("retry", "--all")).code == 0


async def test_retry_notices_that_its_worker_went_away(stage: Stage, shell: Shell) -> None:
    async with session(stage.dsn) as connection:
        table = stage.make_lease_table(connection)
        await table.join()
        await table.share()
        retrying = asyncio.create_task(shell.run("retry", "--stream", "a"))

        async def has_looked() -> bool:
            looks = (
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name LIKE '%dead-letters' "
                "AND (query LIKE '%7236174%' OR query LIKE '%AS failed%'))"
            )
            return bool(await stage.pool.fetchval(looks))

        await eventually(has_looked)
    ended = await retrying
    assert (ended.code, ended.out) == (1, "")
    assert "No worker runs journal." in ended.err


async def test_retry_does_not_wait_for_what_an_application_has_to_do(
    stage: Stage, shell: Shell
) -> None:
    failure = Failure(SubscriberKind.PROJECTION, "mails", ValueError("no"))
    await DeadLetterSink(stage.pool, types).keep(Placed("x", 1), [failure], None)
    ended = await shell.run("retry", "--projection", "mails")
    assert ended.code == 0
    assert "1 of events published in process" in ended.out


async def test_retry_of_one_letter_says_why_there_is_nothing_to_retry(
    stage: Stage, shell: Shell
) -> None:
    missing = await shell.run("retry", "4711")
    assert (missing.code, missing.out) == (2, "")
    assert missing.err.startswith("Error: There is no dead letter 4711")
    failure = Failure(SubscriberKind.PROJECTION, "mails", ValueError("no"))
    await DeadLetterSink(stage.pool, types).keep(object(), [failure], None)
    [row] = json.loads((await shell.run("list", "--projection=mails", "--format=json")).out)
    bare = await shell.run("retry", str(row["id"]))
    assert (bare.code, bare.out) == (2, "")
    assert "without a registered type" in bare.err


async def test_discard_needs_a_reason_and_keeps_it(stage: Stage, shell: Shell) -> None:
    assert (await shell.run("discard", "1")).code == 2
    empty = await shell.run("discard", "1", "--reason", " ")
    assert (empty.code, empty.out) == (2, "")
    done = await shell.run("discard", "1", "--reason", "a test order")
    assert (done.code, done.out) == (0, "Dead letter 1 is discarded.\n")
    twice = await shell.run("discard", "1", "--reason", "again")
    assert (twice.code, twice.err) == (2, "Error: Dead letter 1 was discarded already.\n")
    shown = json.loads((await shell.run("show", "1", "--format", "json")).out)
    assert (shown["resolution"], shown["reason"]) == ("discarded", "a test order")


@pytest.mark.parametrize(
    "arguments",
    [("retry",), ("show",), ("show", "x"), ("list", "--older-than", "-1"), ("list", "--format=x")],
)
async def test_wrong_use_is_a_usage_error(
    database: str, shell: Shell, arguments: tuple[str, ...]
) -> None:
    ended = await shell.run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err


async def test_missing_rights_are_told_in_a_sentence(stage: Stage, shell: Shell) -> None:
    role = f"stranger_{uuid.uuid4().hex[:8]}"
    await stage.pool.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA sidecar TO {role}")
    dsn = stage.dsn.replace("postgres@", f"{role}@", 1)
    refused = await Shell(shell.folder, dsn).run("list")
    assert (refused.code, refused.out) == (1, "")
    assert "permission denied" in refused.err
    assert f"DELETE ON ALL TABLES IN SCHEMA sidecar TO {role}" in refused.err
