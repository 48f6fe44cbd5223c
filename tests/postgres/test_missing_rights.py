"""A role without rights is told the statements that give them, and they do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sidecar import DeadLetterSink, EventPublisher, EventTypes, MeteredPool
from sidecar.errors import MigrationError, MissingRightsError
from sidecar.health.outcome import Outcome
from sidecar.postgres import migration
from sidecar.postgres.migration import load_migrations, migrate
from sidecar.postgres.rights import require_rights
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.testing import ask
from sidecar.wiring import retries as retrying
from sidecar.wiring.checks.database import migrations_check
from sidecar.wiring.retries import Retries
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.stage import session


@dataclass(frozen=True)
class Weak:
    """A role without rights, and whoever may give them."""

    role: str
    dsn: str
    admin: str

    async def run(self, statements: str) -> None:
        async with session(self.admin) as connection:
            await connection.execute(statements)


@asynccontextmanager
async def weak_role(cluster: Cluster, dsn: str) -> AsyncIterator[Weak]:
    # A name that has to be quoted.
    role = f"Weak-{dsn.rpartition('test_')[2].partition('?')[0]}"
    await cluster.execute(f'CREATE ROLE "{role}" LOGIN')
    try:
        yield Weak(role, dsn.replace("postgres@", f"{role}@"), dsn)
    finally:
        async with session(dsn) as connection:
            await connection.execute(f'DROP OWNED BY "{role}" CASCADE')
        await cluster.execute(f'DROP ROLE "{role}"')


def cure_of(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message
    return message.partition("run: ")[2]


async def test_who_may_not_create_is_told_what_cures_it(
    cluster: Cluster, empty_database: str
) -> None:
    async with weak_role(cluster, empty_database) as weak, session(weak.dsn) as connection:
        with pytest.raises(MissingRightsError) as caught:
            await migrate(connection)
        assert "GRANT CREATE ON DATABASE" in str(caught.value)

        watch = DatabasePoller(weak.dsn, application_name="watch", auto_migrate=True)
        await watch.poll()
        answer = await ask(migrations_check(watch))
        assert (answer.outcome, answer.reason) == (Outcome.FAIL, "migrations.pending")
        assert answer.detail == str(caught.value)

        await weak.run(cure_of(caught.value))
        await watch.poll()
        assert (await ask(migrations_check(watch))).outcome is Outcome.PASS
        assert await migrate(connection) == []
        watch._drop()


async def test_who_may_not_read_and_write_is_told_what_cures_it(
    cluster: Cluster, database: str
) -> None:
    async with weak_role(cluster, database) as weak, session(weak.dsn) as connection:
        watch = DatabasePoller(weak.dsn, application_name="watch", auto_migrate=False)
        await watch.poll()
        assert "GRANT USAGE ON SCHEMA sidecar" in watch.trouble
        with pytest.raises(MissingRightsError) as caught:
            await require_rights(connection)
        await weak.run(cure_of(caught.value))
        await require_rights(connection)
        await watch.poll()
        assert (watch.trouble, watch.pending_migrations) == ("", ())
        await weak.run(f'REVOKE UPDATE ON sidecar.checkpoints FROM "{weak.role}"')
        with pytest.raises(MissingRightsError, match="UPDATE"):
            await require_rights(connection)
        watch._drop()


async def test_who_does_not_own_the_schema_cannot_migrate_it_and_is_told_so(
    cluster: Cluster, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = load_migrations()
    async with weak_role(cluster, empty_database) as weak:
        monkeypatch.setattr(migration, "load_migrations", lambda: steps[:1])
        async with session(weak.admin) as owner:
            await migrate(owner)
        monkeypatch.setattr(migration, "load_migrations", lambda: steps)
        async with session(weak.dsn) as connection:
            with pytest.raises(MissingRightsError) as caught:
                await require_rights(connection)
            await weak.run(cure_of(caught.value))
            with pytest.raises(MissingRightsError, match="run: GRANT postgres TO"):
                await migrate(connection)


async def test_a_sink_without_its_table_is_told_at_the_start_and_goes_on_by_itself(
    cluster: Cluster,
    empty_database: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrying, "PAUSE_SECONDS", 0.01)
    async with (
        weak_role(cluster, empty_database) as weak,
        MeteredPool(weak.dsn, name="app", min_size=1, max_size=2) as pool,
    ):
        sink = DeadLetterSink(pool, EventTypes())
        retries = Retries(EventPublisher(), sink)
        running = asyncio.create_task(retries.run())
        with caplog.at_level(logging.INFO):

            async def wants_migration() -> bool:
                return "run `sidecar migrate`" in retries.trouble

            async def wants_rights() -> bool:
                return "GRANT USAGE ON SCHEMA sidecar" in retries.trouble

            async def wants_right() -> bool:
                return "GRANT SELECT, INSERT, UPDATE ON sidecar.dead_letters" in retries.trouble

            async def is_well() -> bool:
                return not retries.trouble

            await eventually(wants_migration)
            assert (await ask(retries.check())).outcome is Outcome.FAIL
            with pytest.raises(MigrationError):
                await sink.require_place()
            async with session(weak.admin) as owner:
                await migrate(owner)
            await eventually(wants_rights)
            await weak.run(retries.trouble.partition("run: ")[2])
            await eventually(is_well)
            assert (await ask(retries.check())).outcome is Outcome.PASS
            await weak.run(f'REVOKE UPDATE ON sidecar.dead_letters FROM "{weak.role}"')
            await eventually(wants_right)
        running.cancel()
        await asyncio.wait((running,))
    told = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.letters.no_place"]
    assert len(told) == 3
    assert all(record.exc_info is None for record in told)
