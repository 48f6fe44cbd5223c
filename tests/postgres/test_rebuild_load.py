"""A rebuild of a large log while events come and people read."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import click
import pytest

from tests.postgres.rebuilding import (
    TimedStore,
    Totals,
    fill,
    meanwhile,
    oracle,
    read,
    rows_of,
    start,
    until_live,
    until_swapped,
    working,
)
from tests.postgres.stage import Stage, open_stage

APPENDS_PER_SECOND: Final = 500
MAX_LOCK_SECONDS: Final = 0.1


class Reader:
    """Reads a table all the time, in a thread, so that no loop of the test delays it.

    Attributes:
        slowest_seconds: Of all reads.
        counts: Rows seen by each read.
    """

    def __init__(self, dsn: str) -> None:
        self.slowest_seconds = 0.0
        self.counts: Final[list[int]] = []
        self.error: BaseException | None = None
        self._dsn = dsn
        self._ended = threading.Event()

    @contextmanager
    def reading(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._read())
        except Exception as error:
            self.error = error
            raise

    async def _read(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            while not self._ended.is_set():
                began_mono = time.monotonic()
                self.counts.append(await connection.fetchval("SELECT count(*) FROM totals"))
                seconds = time.monotonic() - began_mono
                self.slowest_seconds = max(self.slowest_seconds, seconds)
        finally:
            await connection.close()


class Writer:
    """Appends one event per call at a steady rate."""

    def __init__(self, stage: Stage) -> None:
        self.appended = 0
        self._stage = stage
        self._began_mono = time.monotonic()

    @property
    def rate(self) -> float:
        return self.appended / (time.monotonic() - self._began_mono)

    async def write(self) -> None:
        elapsed_seconds = time.monotonic() - self._began_mono
        due = int(elapsed_seconds * APPENDS_PER_SECOND) - self.appended
        numbers = range(self.appended, self.appended + min(due, 50))
        await asyncio.gather(*(self._stage.place(f"new-{n % 50}", n % 89) for n in numbers))
        self.appended += len(numbers)
        await asyncio.sleep(0.005)


@pytest.mark.timeout(600)
async def test_rebuild_under_load_is_seen_by_no_reader(
    database: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    events = request.config.getoption("--rebuild-events")
    reader, kept_up = Reader(database), 0
    async with open_stage(database, Totals(), max_connections=70) as stage:
        await fill(stage, events)
        store, writer = TimedStore(stage.pool), Writer(stage)

        async def keep_up() -> None:
            nonlocal kept_up
            await until_live(stage)
            kept_up += bool(await rows_of(stage))
            await asyncio.sleep(0.1)

        async with working(stage, store):
            await until_live(stage)
            # What the old copy has wrong, for whatever reason, the new one has right.
            await stage.pool.execute("UPDATE totals SET amount = amount + 1000000")
            with reader.reading():
                writer = Writer(stage)
                async with meanwhile(writer.write), meanwhile(keep_up):
                    await start(stage)
                    began_mono = time.monotonic()
                    await until_swapped(stage, within_seconds=500)
                    seconds = time.monotonic() - began_mono
                    rate = writer.rate
                await until_live(stage)
        assert await read(stage) == await oracle(stage)
        assert len(await read(stage, "sidecar_old_totals.totals")) >= 1000
    with capsys.disabled():
        click.echo(
            f"\nrebuild of {events} events under {rate:.0f} appends/s: {seconds:.1f} s, tables "
            f"locked {store.locked_seconds * 1000:.1f} ms, slowest of {len(reader.counts)} reads "
            f"{reader.slowest_seconds * 1000:.1f} ms"
        )
    assert reader.error is None
    # Not once was a copy seen that was not full.
    assert min(reader.counts) >= 1000
    assert kept_up > 0
    assert store.locked_seconds < MAX_LOCK_SECONDS
