"""What a service already has is told of through its agent, as often as the agent is started."""

import logging
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession

from sidecar.postgres.pools.activity import sample_activity
from sidecar.postgres.pools.leak import watch_leaks
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.wiring.application_agent import agent
from tests.port import free_port
from tests.postgres.eventually import eventually
from tests.postgres.stage import session


class TheirPublisher:
    """Somebody else's."""

    async def publish(self, event: object) -> None:
        """Tell nobody."""


async def read(url: str) -> str:
    async with ClientSession() as http, http.get(url) as answer:
        return await answer.text()


@pytest.fixture(autouse=True)
def of_a_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("DATABASE_URL", empty_database)
    monkeypatch.setenv("SIDECAR_SERVICE_NAME", "shop")


async def test_a_plain_pool_and_a_foreign_publisher_are_shown_at_each_start(
    empty_database: str,
) -> None:
    publisher = TheirPublisher()
    async with asyncpg.create_pool(empty_database, min_size=1, max_size=3) as pool:
        for _ in range(2):
            port = free_port()
            async with agent(publisher=publisher, pool=pool, port=port), pool.acquire():
                await publisher.publish(object())
                text = await read(f"http://127.0.0.1:{port}/metrics")
            label = 'db_client_connection_pool_name="'
            assert f"db_client_connection_max{{{label}" in text
            used = [line for line in text.splitlines() if 'connection_state="used"' in line]
            assert [line.rsplit(" ")[-1] for line in used] == ["1.0"]
            assert f"sidecar_pool_leaks{{{label}" in text
            assert 'sidecar_events_published_total{event_type="object"} 1.0' in text
        assert type(pool) is asyncpg.Pool
    assert vars(publisher) == {}


async def test_what_is_neither_is_told_and_the_rest_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    async with agent(publisher=object(), port=port):  # type: ignore[arg-type]
        assert "has no `async publish" in caplog.text
        assert "sidecar_loop_lag_seconds" in await read(f"http://127.0.0.1:{port}/metrics")


async def test_a_receiver_named_in_env_is_sent_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text(
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9\n"
        "OTEL_EXPORTER_OTLP_HEADERS=x-key=a-secret-of-ours\n"
        "OTEL_METRIC_EXPORT_INTERVAL=50\n"
    )
    async with agent(port=0):

        async def is_told() -> bool:
            return "Dropping metrics" in caplog.text

        await eventually(is_told)
    assert "a-secret-of-ours" not in caplog.text


async def test_the_agent_tells_of_leaks(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    pool = MeteredPool(empty_database, name="shop", min_size=0, max_size=1, leak_limit_seconds=0)
    async with pool, agent(pool=pool, port=0), pool.acquire():

        async def is_told() -> bool:
            return "a connection is held for" in caplog.text

        await eventually(is_told)
    # In development with the place where it was taken.
    assert "Taken at" in caplog.text
    assert watch_leaks.__name__ not in caplog.text


async def test_the_server_s_view_counts_the_sessions_of_each_application(
    empty_database: str,
) -> None:
    async with (
        session(empty_database, "shop") as idle,
        session(empty_database, "shop") as busy,
        session(empty_database, "probe") as own,
    ):
        await busy.execute("BEGIN")
        activity = await sample_activity(own)
        assert not idle.is_closed()
    assert activity["shop", "idle"] == 1
    assert activity["shop", "idle_in_transaction"] == 1
    assert activity["probe", "active"] == 1
