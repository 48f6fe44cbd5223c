"""The transaction of a service that an append joins, and what can be wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from sidecar.errors import UsageError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.handler.deferred import DeferredConnection


def require_transaction(connection: "RawConnection | DeferredConnection") -> None:
    """Make sure that an append can join the transaction of a connection.

    Raises:
        UsageError: It is in no transaction, closed, or no connection of asyncpg.
    """
    if isinstance(connection, DeferredConnection):
        return  # of a handler, which runs within the transaction of its batch
    if not isinstance(connection, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy):
        raise UsageError(
            f"{type(connection).__name__} is no connection of asyncpg, which `append` joins; of "
            "SQLAlchemy's AsyncConnection it is `(await connection.get_raw_connection())"
            ".driver_connection`."
        )
    if not _is_open(connection):
        raise UsageError(
            "The connection given to `append` is closed, or was given back to its pool: append "
            "within the block that acquires it, and before the end of its transaction."
        )
    if not connection.is_in_transaction():
        raise UsageError(
            "The connection given to `append` is in no transaction: its events would stand by "
            "themselves, whatever becomes of the rest. Begin one with `async with "
            "connection.transaction():`; SQLAlchemy begins its own with the first statement, which "
            "has to come before."
        )


def _is_open(connection: RawConnection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # its pool has it back
        return False


@contextmanager
def explain_transaction() -> Iterator[None]:
    """Say what is wrong with the transaction that an append was to join.

    Raises:
        UsageError: It failed before, or takes no writes.
    """
    try:
        yield
    except asyncpg.InFailedSQLTransactionError as error:
        raise UsageError(
            "The transaction given to `append` has failed already: a statement before raised an "
            "error, and nothing of the transaction can be kept. Put a statement that may fail into "
            "`async with connection.transaction()` of its own."
        ) from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise UsageError(
            "The transaction given to `append` takes no writes: it was begun as read-only, or its "
            "server is a standby or has `default_transaction_read_only` on."
        ) from error
