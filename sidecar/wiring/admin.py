"""What the commands for people do: one connection, one task, done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.postgres.connection import RawConnection, connect
from sidecar.postgres.migration import migrate
from sidecar.wiring.boot import Boot
from sidecar.wiring.probe import open_database


@asynccontextmanager
async def open_session(boot: Boot) -> AsyncIterator[RawConnection]:
    """Yield a connection to the configured database.

    Raises:
        StoreUnavailableError: The server cannot be reached.
    """
    name = f"{boot.settings.service_name} {boot.process}"
    async with open_database(boot.settings) as dsn:
        connection = await connect(dsn, application_name=name)
        try:
            yield connection
        finally:
            await connection.close()


async def migrate_database(boot: Boot) -> list[str]:
    """Apply what is pending and return its names.

    Raises:
        MigrationError: A step failed and was rolled back, or the schema is newer.
        StoreUnavailableError: The server cannot be reached.
    """
    async with open_session(boot) as connection:
        return [step.name for step in await migrate(connection)]
