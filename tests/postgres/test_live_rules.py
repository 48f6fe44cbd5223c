"""The live rules, asked of a real server."""

import asyncio
import socket
import time

import asyncpg
import pytest

from sidecar.config.environ import Environ
from sidecar.config.settings import load
from sidecar.lint.rules.live_server import judge_live
from sidecar.lint.server_facts import Server, Unreachable
from sidecar.postgres.migration import load_migrations
from sidecar.postgres.samples import server_inspection
from sidecar.postgres.samples.server_inspection import inspect_server
from tests.postgres.cluster import Cluster
from tests.postgres.stage import session


async def server_at(dsn: str) -> Server:
    server = await inspect_server(dsn, application_name="test")
    assert isinstance(server, Server)
    return server


async def test_a_server_says_what_the_rules_ask_for(database: str) -> None:
    server = await server_at(database)

    assert server.is_local
    assert server.is_encrypted is False
    assert server.is_superuser
    assert (server.max_connections, server.reserved_connections) == (200, 3)
    assert (server.statement_timeout_seconds, server.idle_timeout_seconds) == (0.0, 0.0)
    assert not server.is_transaction_pooled
    assert server.pending_migrations == ()


async def test_a_role_with_limits_is_told_from_one_without(cluster: Cluster, database: str) -> None:
    role = f"shop_{database.rpartition('test_')[2].partition('?')[0]}"
    async with session(database) as connection:
        await connection.execute(
            f"CREATE ROLE {role} LOGIN NOSUPERUSER CONNECTION LIMIT 7;"
            f"ALTER ROLE {role} SET statement_timeout = '30s';"
            f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '1min'"
        )
    try:
        server = await server_at(database.replace("postgres@", f"{role}@"))
        assert not server.is_superuser
        assert (server.statement_timeout_seconds, server.idle_timeout_seconds) == (30.0, 60.0)
        assert server.usable_connections == 7
    finally:
        await cluster.execute(f"DROP ROLE {role}")


async def test_an_empty_database_has_every_migration_to_come(empty_database: str) -> None:
    server = await server_at(empty_database)

    assert server.pending_migrations == tuple(step.name for step in load_migrations())


async def test_a_schema_of_a_later_release_is_told(database: str) -> None:
    async with session(database) as connection:
        await connection.execute(
            "INSERT INTO sidecar.migrations (number, name) VALUES (999, '0999_future')"
        )

    assert (await server_at(database)).newer_schema


async def test_nothing_is_left_at_the_server(database: str) -> None:
    await inspect_server(database, application_name="one-look")
    async with session(database) as connection:
        for _ in range(100):
            left = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'one-look'"
            )
            if left == 0:
                return
            await asyncio.sleep(0.02)
    pytest.fail("the connection is still there")


async def test_a_closed_port_is_unreachable_and_told_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = await inspect_server(
        f"postgresql://u:canary7@127.0.0.1:{port}/d", application_name="test"
    )

    assert isinstance(found, Unreachable)
    assert "canary7" not in found.reason


async def test_a_silent_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_inspection, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        found = await inspect_server(
            f"postgresql://u:canary7@127.0.0.1:{port}/d", application_name="test"
        )

    assert isinstance(found, Unreachable)
    assert time.monotonic() - began < 5
    assert "canary7" not in found.reason


@pytest.mark.parametrize("dsn", ["postgresql://u:canary7@[h", "nonsense canary7", ""])
async def test_an_address_that_is_none_is_unreachable(dsn: str) -> None:
    found = await inspect_server(dsn, application_name="test")

    assert isinstance(found, Unreachable)
    assert "canary7" not in found.reason


async def test_each_transaction_in_another_session_is_a_transaction_pooler(
    database: str,
) -> None:
    class Pooler:
        """Sends each statement to the next of two sessions, as PgBouncer may."""

        def __init__(self, *sessions: "asyncpg.Connection[asyncpg.Record]") -> None:
            self.sessions = list(sessions)

        async def fetchval(self, query: str, *arguments: object) -> object:
            self.sessions.append(self.sessions.pop(0))
            return await self.sessions[-1].fetchval(query, *arguments)

    one, other = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        probed: object = Pooler(one, other)
        assert await server_inspection._is_transaction_pooled(probed)  # type: ignore[arg-type]
        assert not await server_inspection._is_transaction_pooled(other)
    finally:
        await one.close()
        await other.close()


async def test_findings_of_a_superuser_without_limits(database: str) -> None:
    settings, _ = load(Environ.of({"ENVIRONMENT": "production", "DATABASE_URL": database}))
    seen = {each.rule.id for each in judge_live(settings, await server_at(database))}

    assert seen == {"DB03", "DB10"}
