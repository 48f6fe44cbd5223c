"""Why no session can be opened: one sentence for each class, and nothing secret in any."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sidecar.config.environ import Environ
from sidecar.config.settings import load
from sidecar.diagnosis.cause import Cause
from sidecar.errors import StoreUnreachableError
from sidecar.health.check_runner import CheckRunner
from sidecar.health.outcome import Outcome
from sidecar.lint.rules.live_server import judge_live
from sidecar.lint.server_facts import Unreachable
from sidecar.postgres.connection import connect
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.samples.ping import Ping
from sidecar.postgres.samples.server_inspection import inspect_server
from sidecar.wiring.checks.database import login_check, postgres_check
from tests.port import free_port
from tests.postgres.cluster import Cluster, running_cluster
from tests.postgres.eventually import eventually

CANARY = "canary-Pa55/word"
QUOTED = "canary-Pa55%2Fword"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """Run a server that asks for passwords over TCP, and refuses one role by pg_hba.conf."""
    with running_cluster(max_connections="8", superuser_reserved_connections="3") as cluster:
        hba = Path(asyncio.run(read(cluster, "SHOW hba_file")))
        hba.write_text(
            "local all all trust\n"
            "host all outsider all reject\n"
            "hostssl all tls_only all scram-sha-256\n"
            "host all postgres,shop,closed,capped,unlocked all scram-sha-256\n"
        )
        for statement in (
            "SELECT pg_reload_conf()",
            f"CREATE ROLE shop LOGIN PASSWORD '{CANARY}'",
            f"CREATE ROLE closed NOLOGIN PASSWORD '{CANARY}'",
            f"CREATE ROLE capped LOGIN PASSWORD '{CANARY}' CONNECTION LIMIT 0",
            f"CREATE ROLE outsider LOGIN PASSWORD '{CANARY}'",
            f"CREATE ROLE tls_only LOGIN PASSWORD '{CANARY}'",
            "CREATE DATABASE orders",
            "CREATE DATABASE locked ALLOW_CONNECTIONS false",
            "CREATE DATABASE private",
            "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
            "CREATE DATABASE small CONNECTION LIMIT 0",
        ):
            asyncio.run(cluster.execute(statement))
        yield cluster


async def read(cluster: Cluster, query: str) -> str:
    connection = await connect(cluster.dsn(), application_name="test")
    try:
        return str(await connection.fetchval(query))
    finally:
        connection.terminate()


def url(cluster: Cluster, role: str, database: str, password: str = QUOTED) -> str:
    address = cluster.dsn(database, tcp=True).rpartition("@")[2]
    return f"postgresql://{role}:{password}@{address}"


async def refusal(dsn: str) -> StoreUnreachableError:
    with pytest.raises(StoreUnreachableError) as caught:
        await connect(dsn, application_name="test")
    assert CANARY not in str(caught.value)
    assert QUOTED not in str(caught.value)
    return caught.value


REFUSED = [
    ("shop", "orders", "wrong-one", Cause.PASSWORD_REFUSED, "password of role shop"),
    ("nobody", "orders", QUOTED, Cause.REFUSED_BY_HBA, "role nobody into database orders"),
    ("outsider", "orders", QUOTED, Cause.REFUSED_BY_HBA, "pg_hba.conf"),
    ("closed", "orders", QUOTED, Cause.ROLE_MAY_NOT_LOG_IN, "ALTER ROLE closed LOGIN"),
    ("shop", "missing", QUOTED, Cause.DATABASE_MISSING, "CREATE DATABASE missing OWNER shop"),
    ("shop", "locked", QUOTED, Cause.DATABASE_CLOSED, "ALTER DATABASE locked ALLOW_CONNECTIONS"),
    ("shop", "private", QUOTED, Cause.CONNECT_NOT_GRANTED, "GRANT CONNECT ON DATABASE private TO"),
    ("shop", "small", QUOTED, Cause.DATABASE_LIMIT, "ALTER DATABASE small CONNECTION LIMIT"),
    ("capped", "orders", QUOTED, Cause.ROLE_LIMIT, "ALTER ROLE capped CONNECTION LIMIT"),
    ("tls_only", "orders", QUOTED, Cause.REFUSED_WITHOUT_TLS, "sslmode=require"),
]


@pytest.mark.parametrize(("role", "database", "password", "cause", "told"), REFUSED)
async def test_what_the_server_refuses_is_told_with_its_cure(
    guarded: Cluster, role: str, database: str, password: str, cause: Cause, told: str
) -> None:
    error = await refusal(url(guarded, role, database, password) + "?sslmode=disable")
    # The roles of this server are refused in plain text; with TLS the same rule would be named.
    allowed = {cause, Cause.REFUSED_WITHOUT_TLS} if cause is Cause.REFUSED_BY_HBA else {cause}
    assert error.cause in allowed
    assert told in str(error)


async def test_slots_that_are_full_are_told(guarded: Cluster) -> None:
    dsn = url(guarded, "shop", "orders")
    held = [await connect(dsn, application_name="test") for _ in range(5)]
    try:
        error = await refusal(dsn)
    finally:
        for connection in held:
            connection.terminate()
    assert error.cause == Cause.SLOTS_FULL
    assert "max_connections" in error.cure


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[int]:
    """Accept connections: hang up at once, or give an answer and then keep silent."""

    accepted: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.add(writer)
        if answer is None:
            writer.transport.abort()
        else:
            await reader.read(8)
            writer.write(answer)
            await reader.read()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for writer in accepted:
        writer.transport.abort()
        # What is left open when the loop ends is told of a later test.
        with suppress(OSError):
            await writer.wait_closed()


async def test_what_is_no_answer_of_postgresql_is_told() -> None:
    taken = free_port()
    cases = {
        f"postgresql://shop:{QUOTED}@127.0.0.1:{taken}/orders": Cause.NOTHING_LISTENS,
        f"postgresql://shop:{QUOTED}@localhost:{taken}/orders": Cause.NOTHING_LISTENS,
        f"postgresql://shop:{QUOTED}@/orders?host=/nonexistent": Cause.SOCKET_MISSING,
        f"postgresql://shop:{QUOTED}@no.such.host.invalid/orders": Cause.NAME_UNKNOWN,
        f"postgresql://shop:{QUOTED}@{'x' * 64}.example/orders": Cause.NAME_INVALID,
    }
    for dsn, cause in cases.items():
        assert (await refusal(dsn)).cause == cause, dsn
    async with listening(None) as port:
        dsn = f"postgresql://shop:{QUOTED}@127.0.0.1:{port}/orders"
        assert (await refusal(dsn)).cause == Cause.CUT_OFF
    async with listening(b"N") as port:
        dsn = f"postgresql://shop:{QUOTED}@127.0.0.1:{port}/orders?sslmode=require"
        assert (await refusal(dsn)).cause == Cause.TLS_NOT_OFFERED


async def test_pool_live_rule_and_check_say_the_same(guarded: Cluster) -> None:
    dsn = url(guarded, "shop", "orders", "wrong-one")
    error = await refusal(dsn)
    with pytest.raises(StoreUnreachableError) as caught:
        await MeteredPool(dsn).open()
    assert str(caught.value) == str(error)

    server = await inspect_server(dsn, application_name="test")
    assert isinstance(server, Unreachable)
    settings, _ = load(Environ.of({"DATABASE_URL": dsn}))
    (found,) = judge_live(settings, server)
    assert (found.rule.id, found.hint) == ("DB16", error.cure)
    assert error.reason in found.message

    answer = await CheckRunner(postgres_check(Ping(dsn, application_name="test"))).ask()
    assert (answer.outcome, answer.reason) == (Outcome.FAIL, "postgres.unreachable")
    assert (answer.detail, answer.cause) == (str(error), "password-refused")


async def test_a_silent_server_is_told_by_the_check_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://shop:{QUOTED}@127.0.0.1:{silent.getsockname()[1]}/orders"
        answer = await CheckRunner(postgres_check(Ping(dsn, application_name="test"))).ask()
    assert (answer.reason, answer.cause) == ("postgres.timeout", "no-answer")
    assert "gave no answer in time" in answer.detail


async def test_a_password_that_was_rotated_is_seen_while_sessions_live(guarded: Cluster) -> None:
    ping = Ping(url(guarded, "unlocked", "orders"), application_name="test")
    await guarded.execute(f"CREATE ROLE unlocked LOGIN PASSWORD '{CANARY}'")
    check = CheckRunner(postgres_check(ping))
    try:
        assert (await check.ask()).outcome is Outcome.PASS
        assert (await CheckRunner(login_check(ping)).ask()).outcome is Outcome.PASS
        await guarded.execute("ALTER ROLE unlocked PASSWORD 'another'")
        assert (await check.ask()).outcome is Outcome.PASS
        answer = await CheckRunner(login_check(ping)).ask()
        assert (answer.reason, answer.cause) == ("postgres-login.unreachable", "password-refused")
    finally:
        ping.close()


async def test_logins_that_pass_are_seldom_and_leave_no_session(guarded: Cluster) -> None:
    ping = Ping(url(guarded, "shop", "orders"), application_name="login")
    check = CheckRunner(login_check(ping))
    assert [(await check.ask()).outcome for _ in range(3)] == [Outcome.PASS] * 3

    async def is_gone() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'login'"
        return await read(guarded, query) == "0"

    await eventually(is_gone)
