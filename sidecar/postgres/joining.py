"""What an append can join: an open transaction, and nothing that looks like one."""

import asyncpg

from sidecar.errors import UsageError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.deferred import DeferredConnection


def require_transaction(connection: "RawConnection | DeferredConnection") -> None:
    """Make sure that what is written on a connection can still be rolled back.

    Raises:
        UsageError: It is in no transaction, or no connection of asyncpg.
    """
    if isinstance(connection, DeferredConnection):
        return  # a projection's, which lives within the transaction of its batch
    if not isinstance(connection, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy):
        raise UsageError(
            f"{type(connection).__name__} is no connection of asyncpg, which `append` joins; of "
            "SQLAlchemy's AsyncConnection it is `(await connection.get_raw_connection())"
            ".driver_connection`."
        )
    if not connection.is_in_transaction():
        raise UsageError(
            "The connection given to `append` is in no transaction: its events would stand by "
            "themselves, whatever becomes of the rest. Begin one with `async with "
            "connection.transaction():`; SQLAlchemy begins its own with the first statement, which "
            "has to come before."
        )
