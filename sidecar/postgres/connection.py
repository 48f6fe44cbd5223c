"""Opening connections: named, with limits, and with errors that hold no password."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from sidecar.errors import (
    DatabaseUrlError,
    StoreRefusedError,
    StoreUnavailableError,
    trace_back,
)
from sidecar.postgres.codec_aware import CodecAwareConnection
from sidecar.postgres.connect_failure import unreachable
from sidecar.postgres.guard import FAILED_BEFORE
from sidecar.postgres.query import sql

CONNECT_TIMEOUT_SECONDS: Final = 5.0
# Queries of head and leases take milliseconds. A server that is silent for so long may have been
# replaced by another one, which answers.
ANSWER_SECONDS: Final = 10.0

# The server detects a vanished client (machine lost, cable cut) after about 4 s, so that its locks
# and leases are free within the 5 s promised. PostgreSQL ignores these on Unix sockets.
_SERVER_SETTINGS: Final = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "jit": "off",
}

# In these sessions a statement that waited for a lock sees what others committed meanwhile, also
# where the default of the database or the role is stricter and would fail it.
_SESSION_SETTINGS: Final = {"default_transaction_isolation": "read committed"}

# Settings of the server that end a session; the error names the one that did.
_LIMITS: Final = {
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57P05": "idle_session_timeout",
}

SESSION_ERRORS: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
)
"""Raised by a statement when its session ends, or when the server refuses it."""

OPENING_ERRORS: Final = (*SESSION_ERRORS, TimeoutError, UnicodeError)
"""Raised at the opening of a connection, except for an unreadable DSN."""

RawConnection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
RawPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Init: TypeAlias = Callable[[Any], Awaitable[object]]


def server_settings(application_name: str, **more: str) -> dict[str, str]:
    """Return the settings that every session starts with."""
    return {**_SERVER_SETTINGS, "application_name": application_name, **more}


async def connect(
    dsn: str, *, application_name: str, command_timeout_seconds: float | None = None
) -> RawConnection:
    """Open one connection; the caller closes it.

    Raises:
        DatabaseUrlError: The DSN cannot be read.
        StoreUnreachableError: The server cannot be reached or refuses; says why.
    """
    try:
        with hide_url():
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=command_timeout_seconds,
                server_settings=server_settings(application_name, **_SESSION_SETTINGS),
                connection_class=CodecAwareConnection,
            )
    except OPENING_ERRORS as error:
        raise unreachable(error, dsn) from error


@asynccontextmanager
async def open_session(
    dsn: str,
    *,
    application_name: str,
    answer_seconds: float | None = None,
    init: Init | None = None,
) -> AsyncIterator[RawConnection]:
    """Open one connection for a block, and close it at once at the end.

    It may live, wait and be idle without limit, whatever limits the server sets. A `lock_timeout`
    stays, since the error that it causes is transient.

    Args:
        dsn: Where the server is. It appears in no message.
        application_name: The name of the session at the server.
        answer_seconds: How long a statement may go without an answer; None for as long as it takes.
            Waiting for notifications is no statement.
        init: Prepares the connection for code of the service.

    Raises:
        StoreUnavailableError: The server cannot be reached, refuses, ended the session, or left a
            statement without an answer for too long.
    """
    connection = await connect(
        dsn, application_name=application_name, command_timeout_seconds=answer_seconds
    )
    try:
        with translate_loss(connection, f"The session {application_name!r} ended."):
            await connection.execute(sql("lift_limits"), False)
            if init is not None:
                await init(connection)
            yield connection
    except TimeoutError as error:
        if answer_seconds is None:
            raise
        raise StoreUnavailableError(
            f"The session {application_name!r} had no answer within {answer_seconds:g} s."
        ) from error
    finally:
        connection.terminate()


@contextmanager
def hide_url() -> Iterator[None]:
    """Replace asyncpg's error for an unreadable DSN, which quotes parts of it.

    Raises:
        DatabaseUrlError: It cannot be read, or its options cannot be used.
    """
    try:
        yield
    except (OSError, UnicodeError):
        # A certificate that does not match is a ValueError too, and so is an invalid host name.
        raise
    except asyncpg.ClientConfigurationError:
        raise DatabaseUrlError(
            "PostgreSQL cannot be reached: the database URL cannot be followed. Correct its scheme "
            "and options, and provide the certificate files that it asks for; `sidecar check` "
            "judges DATABASE_URL."
        ) from None
    except (ValueError, OverflowError):
        raise DatabaseUrlError(
            "The database URL cannot be read: percent-encode special characters in its password "
            "(/ is %2F, ? is %3F, # is %23, @ is %40); `sidecar check` judges DATABASE_URL."
        ) from None


def explain_init(init: Init | None) -> Init | None:
    """Return what prepares a service's connections, with its failures in words."""
    if init is None:
        return None

    async def run(connection: RawConnection) -> None:
        try:
            await init(connection)
        except SESSION_ERRORS:
            raise
        # The edge to user code; asyncpg raises a ValueError for a type that is not there.
        except Exception as error:
            raise StoreRefusedError(
                f"`init_connection` of the publisher failed with {type(error).__name__}: {error}. "
                "Let it set codecs of types only that the database has by then."
            ) from error

    return run


def read_committed(connection: RawConnection) -> "asyncpg.transaction.Transaction":
    """Return a transaction that sees what others commit meanwhile, whatever the server's default.

    Locks, compare-and-set and the proof that a gap is dead rest on it: an older snapshot would lack
    the commit that was waited for.
    """
    return connection.transaction(isolation="read_committed")


@contextmanager
def translate_loss(connection: RawConnection, message: str) -> Iterator[None]:
    """Raise another error for the end of a session than for one of its statements.

    Raises:
        StoreUnavailableError: A statement failed and the session is gone.
    """
    try:
        yield
    except SESSION_ERRORS as error:
        if is_lost(connection, error):
            raise StoreUnavailableError(message + _name_limit(error)) from error
        raise


@contextmanager
def explain_failed_transaction() -> Iterator[None]:
    """Add to the error of a failed transaction how that came about."""
    try:
        yield
    except asyncpg.InFailedSQLTransactionError as error:
        error.add_note(FAILED_BEFORE)
        raise


def _name_limit(error: BaseException) -> str:
    # The rollback fails as well, and its error replaces the first one.
    for cause in trace_back(error):
        limit = _LIMITS.get(getattr(cause, "sqlstate", None) or "")
        if limit:
            return f" The server's `{limit}` ended it."
    return ""


def is_lost(connection: RawConnection, error: BaseException) -> bool:
    """Return True when an error means that the session is gone."""
    if not isinstance(error, SESSION_ERRORS):
        return False
    # Raised by asyncpg when the server ended the session between two statements.
    if isinstance(error, asyncpg.InternalClientError) and not is_busy(error):
        return True
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # The pool has already taken back a dead connection.
        return True


def is_busy(error: BaseException) -> bool:
    """Return True when a connection refused a statement because another one is running on it."""
    kinds = (asyncpg.InterfaceError, asyncpg.InternalClientError)
    return isinstance(error, kinds) and "in progress" in str(error)
