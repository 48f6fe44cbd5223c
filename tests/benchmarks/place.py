"""The place where benchmarks run: one private PostgreSQL with default settings, fsync on."""

import os
import platform
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from sidecar.postgres.connection import RawConnection, connect
from sidecar.postgres.embedded import embedded_server
from sidecar.postgres.migration import migrate
from sidecar.postgres.pools.pool import MeteredPool


@dataclass(frozen=True, slots=True)
class Place:
    """The server that every benchmark shares; each has databases of its own.

    Attributes:
        dsn: The server's maintenance database.
        directory: The server's data directory.
        scratch: An empty directory for processes to run in, away from anybody's `.env`.
        events: How many events the large log of `lag-growth` has.
    """

    dsn: str
    directory: Path
    scratch: Path
    events: int

    async def create_database(self, name: str) -> str:
        """Create a database with the schema in it and return its DSN."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        dsn = urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))
        async with session(dsn) as own:
            await migrate(own)
        return dsn

    async def describe(self) -> str:
        """Name the machine and the versions."""
        async with session(self.dsn) as connection:
            version = await connection.fetchval("SHOW server_version")
        return (
            f"{_cpu_model()}, {os.cpu_count()} cores; PostgreSQL {version}, defaults, fsync on; "
            f"Python {platform.python_version()}"
        )


@contextmanager
def open_place(events: int) -> Iterator[Place]:
    """Start the server in a temporary directory; it ends, and goes, with the block."""
    with TemporaryDirectory(prefix="sidecar-bench-") as root:
        # The server may run as another user than we do.
        Path(root).chmod(0o755)
        scratch = Path(root, "scratch")
        scratch.mkdir()
        directory = Path(root, "postgres")
        with embedded_server(directory) as dsn:
            yield Place(dsn, directory, scratch, events)


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[RawConnection]:
    """Open one connection for the block."""
    connection = await connect(dsn, application_name="benchmark")
    try:
        yield connection
    finally:
        await connection.close()


def make_pool(dsn: str, size: int) -> MeteredPool:
    """Make our pool, of a fixed size."""
    return MeteredPool(dsn, name="benchmark", min_size=size, max_size=size)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
