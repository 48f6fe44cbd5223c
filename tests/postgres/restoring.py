"""Servers that come back without the end of their log: restored, promoted, or made of a dump."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.postgres.cluster import Cluster

_SAVED: Final = "saved"
_WITH_ITS_LOG: Final = ("-X", "stream", "-c", "fast")


def save(cluster: Cluster) -> None:
    """Copy the data directory of a server, which is stopped for it."""
    cluster.stop("fast")
    _copy(cluster._data, cluster._folder / _SAVED)
    cluster.start()


def back_up(cluster: Cluster) -> None:
    """Copy the data directory of a server while it runs."""
    target = cluster._folder / _SAVED
    target.mkdir(mode=0o700)
    owner = cluster._data.stat()
    shutil.chown(target, owner.st_uid, owner.st_gid)
    run_tool(cluster, "pg_basebackup", *_place(cluster), "-D", str(target), *_WITH_ITS_LOG)


def restore(cluster: Cluster) -> None:
    """Put back what was saved, and start the server with it."""
    restored = cluster._folder / "restored"
    _copy(cluster._folder / _SAVED, restored)
    cluster.stop("immediate")
    shutil.rmtree(cluster._data)
    restored.rename(cluster._data)
    cluster.start()


class Standby(Cluster):
    """A server that begins as a copy of a running one, and takes its place at its address."""

    def __init__(self, folder: Path, primary: Cluster) -> None:
        self._primary: Final = primary
        super().__init__(folder)

    def _choose_port(self) -> int:
        return self._primary._port

    def _init(self) -> None:
        target = ("-D", str(self._data), *_WITH_ITS_LOG, "-R")
        run_tool(self, "pg_basebackup", *_place(self._primary), *target)
        self._data.chmod(0o700)

    def promote(self) -> None:
        """Start it in the place of its primary, which must be stopped, and have it take writes."""
        (self._data / "standby.signal").rename(self._data / "recovery.signal")
        with (self._data / "postgresql.auto.conf").open("a") as settings:
            settings.write("restore_command = 'false'\nprimary_conninfo = ''\n")
        self.start()


@contextmanager
def standby_of(primary: Cluster) -> Iterator[Standby]:
    """Make a standby of a running server; it is gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="sidecar-pg-"))
    try:
        standby = Standby(folder, primary)
        try:
            yield standby
        finally:
            standby.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dump(cluster: Cluster, database: str) -> str:
    """Return a database as SQL."""
    return run_tool(cluster, "pg_dump", *_place(cluster), "-d", database)


def load(cluster: Cluster, database: str, text: str) -> None:
    """Fill a new database with SQL."""
    options = ("-q", "-v", "ON_ERROR_STOP=1", "-d", database)
    run_tool(cluster, "psql", *_place(cluster), *options, text=text)


def run_tool(cluster: Cluster, name: str, *words: str, text: str = "") -> str:
    """Run one of PostgreSQL's programs as the server's user, and return what it printed."""
    done = subprocess.run(
        [cluster._bin / name, *words],
        input=text,
        capture_output=True,
        text=True,
        user=cluster._user,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _place(cluster: Cluster) -> tuple[str, ...]:
    return ("-h", str(cluster._data), "-p", str(cluster._port), "-U", "postgres")


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".s.PGSQL*", "postmaster.*"))
    for path in (target, *target.rglob("*")):
        owner = source.stat()
        shutil.chown(path, owner.st_uid, owner.st_gid)
    target.chmod(0o700)
