"""The probe process's eyes: what it knows of the database, and what it says of it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.postgres.samples import database_poller, database_sampler
from sidecar.postgres.samples.database_poller import DatabasePoller
from tests.postgres.cluster import TEMPLATE, Cluster
from tests.postgres.eventually import eventually
from tests.postgres.stage import session
from tests.proxy import proxying

INSERT = "INSERT INTO sidecar.events (stream, version, type, data) VALUES ($1, 1, 'T', '{}')"


@asynccontextmanager
async def watched(dsn: str) -> AsyncIterator[DatabasePoller]:
    watch = DatabasePoller(dsn, application_name="test watch", auto_migrate=False)
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def test_who_holds_the_safe_head_is_told_once(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_poller, "HOLD_SECONDS", 0.5)
    monkeypatch.setattr(database_poller, "INTERVAL_SECONDS", 0.1)
    async with session(database, "slow importer") as slow, session(database, "other") as other:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(INSERT, "held")
        await other.execute(INSERT, "after")
        async with watched(database) as watch:

            def told() -> list[str]:
                return [
                    record.getMessage()
                    for record in caplog.records
                    if getattr(record, "event", "") == "sidecar.store.held"
                ]

            async def is_told() -> bool:
                return bool(told())

            await eventually(is_told)
            assert "slow importer" in told()[0]
            assert str(slow.get_server_pid()) in told()[0]
            await transaction.commit()

            async def is_free() -> bool:
                return watch.sample is not None and watch.sample.safe_head == 2

            await eventually(is_free)
            assert len(told()) == 1


async def test_a_lost_database_leaves_no_old_numbers(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with watched(empty_database) as watch:

            async def is_pending() -> bool:
                return bool(watch.pending_migrations)

            await eventually(is_pending)
            assert watch.sample is None


async def test_a_slow_link_is_seen_through(cluster: Cluster) -> None:
    name = await cluster.create_database(TEMPLATE)
    address = cluster.dsn(name, tcp=True).rpartition("@")[2]
    host, port = address.partition("/")[0].split(":")
    async with proxying(host, int(port)) as proxy:
        proxy.delay_seconds = 0.1
        async with watched(f"postgresql://postgres@{host}:{proxy.port}/{name}") as watch:

            async def is_seen() -> bool:
                return watch.sample is not None

            await eventually(is_seen, 30.0)
            assert not watch.failed
    await cluster.drop_database(name)


async def test_a_lock_takes_nothing_back_and_is_told(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_poller, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(database_poller, "LOCK_SECONDS", 0.05)
    async with session(database) as other, watched(database) as watch:

        async def is_seen() -> bool:
            return watch.sample is not None and not watch.failed

        async def is_missed() -> bool:
            assert watch.pending_migrations == ()
            return watch.failed

        await eventually(is_seen)
        seen = watch.sample
        for table in ("events", "checkpoints"):
            async with other.transaction():
                await other.execute(f"LOCK TABLE sidecar.{table} IN ACCESS EXCLUSIVE MODE")
                await eventually(is_missed)
                assert watch.sample is not None
                assert "another session holds a lock" in watch.trouble
                assert "55P03" in watch.trouble
            await eventually(is_seen)
        assert watch.sample is not seen
        lost = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.watch.lost"]
        assert len(lost) == 2


async def test_what_cannot_be_counted_hides_no_lag(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_poller, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(database_poller, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(database_sampler, "ANSWER_LIFE_SECONDS", 0.2)
    async with session(database) as other, watched(database) as watch:

        async def is_seen() -> bool:
            return watch.sample is not None

        async def is_followed() -> bool:
            assert not watch.failed
            sample = watch.sample
            return sample is not None and (sample.head, sample.unanswered) == (1, ("dead letters",))

        await eventually(is_seen)
        async with other.transaction():
            await other.execute("LOCK TABLE sidecar.dead_letters IN ACCESS EXCLUSIVE MODE")
            async with session(database) as writer:
                await writer.execute(INSERT, "order-1")
            await eventually(is_followed)
            assert "dead letters" in watch.trouble


async def test_a_schema_at_head_stays_so_while_nobody_can_look(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_poller, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(database_poller, "LOCK_SECONDS", 0.05)
    async with session(database) as other, watched(database) as watch:

        async def is_seen() -> bool:
            return watch.sample is not None

        await eventually(is_seen)
        async with other.transaction():
            await other.execute("LOCK TABLE sidecar.migrations IN ACCESS EXCLUSIVE MODE")
            watch._drop()
            watch.sample = None
            await eventually(is_seen)
            assert watch.pending_migrations == ()


async def test_the_limit_of_the_role_does_not_end_what_the_watch_asks(database: str) -> None:
    async with session(database) as admin:
        name = await admin.fetchval("SELECT quote_ident(current_database())")
        await admin.execute(f"ALTER DATABASE {name} SET statement_timeout = '1ms'")
        async with watched(database) as watch:

            async def is_seen() -> bool:
                return watch.sample is not None

            await eventually(is_seen)
            assert not watch.trouble
