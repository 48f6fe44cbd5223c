"""What tests of all folders share: a clean environment, and a private PostgreSQL on demand."""

import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.postgres.cluster import TEMPLATE, Cluster, find_memory, migrate_template, running_cluster

_OURS = re.compile(
    r"(SIDECAR|OTEL|DB_POOL|PG).*|ENVIRONMENT|DATABASE_URL.*|SECRET_KEY.*|CORS_ORIGINS.*"
    r"|DEBUG|ENABLE_DOCS|(GEMINI|ANTHROPIC|OPENAI)_API_KEY.*|TRACEPARENT|TRACESTATE"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sidecar")
    group.addoption("--load-seconds", type=float, default=10.0, help="Length of the load test.")
    group.addoption("--seed", type=int, default=4711, help="Seed of the load test.")
    group.addoption("--rebuild-events", type=int, default=100_000, help="Events to rebuild from.")
    group.addoption("--deployments", type=int, default=8, help="Sequences of releases to try.")
    group.addoption("--drills", default="quick", help="Incidents to rehearse: quick or all.")
    group.addoption("--healthy-seconds", type=float, default=20.0, help="Load that is healthy.")
    group.addoption("--chaos-rounds", type=int, default=50, help="Faults made one after another.")
    group.addoption("--programs", type=int, default=50, help="Random handlers to compare.")
    group.addoption("--chaos-seconds", type=float, default=20.0, help="Length of the storm.")
    group.addoption("--soak-seconds", type=float, default=20.0, help="Length of the steady load.")
    group.addoption(
        "--health-seconds", type=float, default=5.0, help="How long probes are put under strain."
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what the developer's shell has set for a service of their own."""
    for name in list(os.environ):
        if _OURS.fullmatch(name):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One server for all tests of this process; do not stop it."""
    # Each test makes a database and drops it, hundreds of files each time.
    with running_cluster(find_memory()) as cluster:
        # In a thread, for the event loop of a test may exist in this one already.
        with ThreadPoolExecutor(1) as executor:
            executor.submit(migrate_template, cluster).result()
        yield cluster


@pytest.fixture
def private_cluster() -> Iterator[Cluster]:
    """A server for a test that stops it, in whatever way: what was committed is kept."""
    with running_cluster(synchronous_commit="on") as cluster:
        yield cluster


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[str]:
    """DSN of a fresh database with the schema of the newest migration."""
    async with cluster.database(TEMPLATE) as dsn:
        yield dsn


@pytest.fixture
async def empty_database(cluster: Cluster) -> AsyncIterator[str]:
    """DSN of a fresh database without any schema of ours."""
    async with cluster.database() as dsn:
        yield dsn
