"""The rights that the role lacks, as the statements that grant them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from sidecar.errors import MissingRightsError, StoreRefusedError
from sidecar.postgres.connection import RawConnection, is_lost
from sidecar.postgres.query import sql


async def require_rights(connection: RawConnection) -> None:
    """Make sure that the role has every right that the sidecar needs; the schema may be missing.

    Raises:
        MissingRightsError: It lacks some.
    """
    lacks = await list_missing(connection)
    if lacks:
        raise missing_rights(lacks)


async def list_missing(connection: RawConnection, *, for_migrating: bool = False) -> list[str]:
    """Return the statements that grant the role what it lacks; not in a failed transaction.

    A role that migrates needs the right to change the schema as well, which only its owner has.
    """
    rows = await connection.fetch(sql("list_missing_rights"), for_migrating)
    return [row["statement"] for row in rows]


def missing_rights(lacks: list[str]) -> MissingRightsError:
    """Make the error of a role that lacks rights.

    Args:
        lacks: Statements that grant them; empty where the catalogues show none to be missing.
    """
    cure = f"run: {'; '.join(lacks)}" if lacks else "give it those that `sidecar migrate` ran with."
    return MissingRightsError(
        "PostgreSQL refuses: permission denied, for the role of DATABASE_URL lacks rights. Let the "
        f"owner of the database, or a superuser, {cure}"
    )


@asynccontextmanager
async def translate_refusal(connection: RawConnection) -> AsyncIterator[None]:
    """Raise an error that says why a statement was refused, without any value that was in it.

    Raises:
        MissingRightsError: The role lacks a right.
        StoreRefusedError: It was refused for another reason; the end of a session is no refusal.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        if is_lost(connection, error):
            raise
        raise await _explain(connection, error) from error


async def _explain(connection: RawConnection, error: asyncpg.PostgresError) -> StoreRefusedError:
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return missing_rights(await list_missing(connection))
    return StoreRefusedError(f"PostgreSQL refused with SQLSTATE {error.sqlstate}.")
