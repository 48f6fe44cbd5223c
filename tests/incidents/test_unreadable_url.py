"""A DATABASE_URL whose password was not percent-encoded, and errors that nobody catches."""

import asyncio
from pathlib import Path

import pytest

from tests.incidents.ending import assert_sentence, expect_json
from tests.incidents.patience import eventually
from tests.incidents.program import environment, finish, serve

FAILED = 1
CANARY = "c4naryHalf"
URLS = [
    f"postgresql://shop:{CANARY}/abc@127.0.0.1:1/db",
    f"postgresql://shop:abc/{CANARY}@127.0.0.1:1/db",
    f"postgresql://shop:{CANARY}?abc@127.0.0.1:1/db",
    f"postgresql://shop:abc?{CANARY}@127.0.0.1:1/db",
    f"postgresql://shop:{CANARY}#abc@127.0.0.1:1/db",
]
MISLED = f"postgresql://shop@127.0.0.1:1/db?target_session_attrs={CANARY}"


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        *((url, ("projections", "list")) for url in URLS),
        (URLS[0], ("dead-letters", "list")),
        (URLS[0], ("migrate",)),
    ],
)
def test_a_command_says_what_to_do_and_nothing_of_the_url(
    tmp_path: Path, url: str, arguments: tuple[str, ...]
) -> None:
    environ = environment(tmp_path, ENVIRONMENT="development", DATABASE_URL=url)
    ended = finish(tmp_path, *arguments, **environ)
    assert_sentence(ended, FAILED, "database URL cannot be read", "percent-encode")
    assert CANARY not in ended.out + ended.err


def test_a_url_that_cannot_be_followed_is_told_by_what_can_be_wrong(tmp_path: Path) -> None:
    environ = environment(tmp_path, ENVIRONMENT="development", DATABASE_URL=MISLED)
    ended = finish(tmp_path, "projections", "list", **environ)
    assert_sentence(ended, FAILED, "cannot be followed", "scheme and options", "certificate files")
    assert CANARY not in ended.out + ended.err


@pytest.mark.parametrize("url", [URLS[0], URLS[3]])
async def test_the_watch_tells_it_once_and_the_workers_wait(tmp_path: Path, url: str) -> None:
    async with serve(tmp_path, url, "service:publisher") as program:
        await program.line("sidecar.watch.lost")
        waits = await program.line("sidecar.worker.waits")

        async def is_judged() -> bool:
            return (await program.get("/ready")).text.count("postgres") > 0

        await eventually(is_judged)
        shown = await asyncio.gather(*map(program.get, ("/ready", "/api/status", "/metrics")))
        [lost] = program.lines("sidecar.watch.lost")
    for line in (lost, waits):
        assert "percent-encode" in line["message"]
    for text in (program.output(), *(answer.text for answer in shown)):
        assert CANARY not in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    "code",
    [
        "import os; raise LookupError(os.environ['SECRET_KEY'])",
        (
            "import asyncio, asyncpg, os\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "async def connect(): await asyncpg.connect(os.environ['DATABASE_URL'])\n"
            "ThreadPoolExecutor().submit(lambda: asyncio.run(connect())).result()"
        ),
        "import os; raise ExceptionGroup('two', [LookupError(os.environ['SECRET_KEY'])])",
        (
            "import os, sys, threading\n"
            "def fail(): raise LookupError(os.environ['SECRET_KEY'])\n"
            "thread = threading.Thread(target=fail); thread.start(); thread.join(); sys.exit(1)"
        ),
    ],
    ids=["import", "url", "group", "thread"],
)
def test_an_error_that_nobody_catches_shows_its_traceback_without_secrets(
    tmp_path: Path, code: str
) -> None:
    (tmp_path / "broken.py").write_text(code)
    environ = environment(
        tmp_path,
        ENVIRONMENT="development",
        SECRET_KEY=f"{CANARY}-and-the-rest-of-it",
        DATABASE_URL=URLS[0],
    )
    ended = finish(tmp_path, "run", "broken:publisher", **environ)
    assert ended.code == FAILED
    assert "Traceback" in ended.err
    assert "broken.py" in ended.err
    assert "***" in ended.err
    assert CANARY not in ended.out + ended.err
    assert expect_json(ended.out + ended.err)[-1]["level"] == "CRITICAL"
