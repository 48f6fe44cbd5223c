"""Facts about the server of DATABASE_URL, for the live rules."""

import asyncio
from typing import Final

import asyncpg

from sidecar.config.dsn import Dsn, DsnError
from sidecar.errors import MigrationError, StoreUnavailableError, StoreUnreachableError
from sidecar.lint.server_facts import Server, Unreachable
from sidecar.postgres.connect_failure import no_answer
from sidecar.postgres.connection import RawConnection, connect
from sidecar.postgres.migration import pending
from sidecar.postgres.query import sql

TIMEOUT_SECONDS: Final = 5.0

_PROBE_KEY: Final = (0x51DE, 0x11FE)
_PROBES: Final = 3


async def inspect_server(dsn: str, *, application_name: str) -> Server | Unreachable:
    """Read the facts on a new connection; never raises for a failure of the server.

    Args:
        dsn: Where the server is. At most role, host and database of it are in the result.
        application_name: The name of the connection at the server.
    """
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            connection = await connect(dsn, application_name=application_name)
            try:
                return await _ask(connection, dsn)
            finally:
                connection.terminate()
    except StoreUnreachableError as error:
        return Unreachable(f"PostgreSQL cannot be reached: {error.reason}.", error.cure)
    except StoreUnavailableError as error:
        return Unreachable(str(error), "Correct DATABASE_URL; then check again.")
    except TimeoutError:
        late = no_answer(dsn)
        return Unreachable(f"PostgreSQL cannot be reached: {late.reason}.", late.cure)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # Only the class: the text of an error may hold the address.
        reason = f"PostgreSQL could not be asked: {type(error).__name__}."
        return Unreachable(reason, "The server's log says why.")


async def _ask(connection: RawConnection, dsn: str) -> Server:
    [row] = await connection.fetch(sql("inspect_server"))
    facts = dict(row)
    limit = facts.pop("role_limit")
    usable = facts["max_connections"] - facts["reserved_connections"]
    facts["reserved_connections"] += usable - limit if 0 <= limit < usable else 0
    names, newer = await _missing_migrations(connection)
    return Server(
        **facts,
        is_local=_is_local(dsn),
        is_transaction_pooled=await _is_transaction_pooled(connection),
        pending_migrations=names,
        newer_schema=newer,
    )


async def _missing_migrations(connection: RawConnection) -> tuple[tuple[str, ...], bool]:
    """Return names of migrations not applied, and whether the schema is of a newer release."""
    try:
        return tuple(step.name for step in await pending(connection)), False
    except MigrationError:
        return (), True
    except asyncpg.InsufficientPrivilegeError:
        # Another role owns the schema; that this one cannot read it is no fault by itself.
        return (), False


async def _is_transaction_pooled(connection: RawConnection) -> bool:
    """Return True when a lock of the session is gone a statement later.

    Behind a pooler in transaction mode each statement may reach another session; an idle pooler
    tends to use the same one, so it is tried a few times.
    """
    for _ in range(_PROBES):
        if not await connection.fetchval(sql("try_lock_probe"), *_PROBE_KEY):
            return False  # another process is checking just now
        is_held = await connection.fetchval(sql("is_probe_locked"), *_PROBE_KEY)
        await connection.fetchval(sql("unlock_probe"), *_PROBE_KEY)
        if not is_held:
            return True
    return False


def _is_local(dsn: str) -> bool:
    try:
        return Dsn.parse(dsn).is_local
    except DsnError:
        return False
