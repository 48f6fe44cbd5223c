"""Whether PostgreSQL answers, asked on a connection of its own outside every pool."""

import asyncio
from contextlib import suppress

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.connection import SESSION_ERRORS, RawConnection, connect


class Ping:
    """Keeps one connection and asks on it; a broken one is replaced at the next call.

    Args:
        dsn: Where the server is. It appears in no message.
        application_name: How the connection is called at the server.
    """

    def __init__(self, dsn: str, *, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._connection: RawConnection | None = None

    async def ask(self) -> None:
        """Ask once; a cancelled question closes the connection, so that none are left behind.

        Raises:
            StoreUnavailableError: The server cannot be reached or did not answer.
        """
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn, application_name=self._application_name)
            await self._connection.execute("SELECT 1")
        except asyncio.CancelledError:
            self.close()
            raise
        except SESSION_ERRORS as error:
            self.close()
            raise StoreUnavailableError(f"PostgreSQL: {type(error).__name__}") from error

    def close(self) -> None:
        """Drop the connection at once, without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.terminate()
