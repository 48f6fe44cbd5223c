"""Whether PostgreSQL answers and takes writes, on a connection outside of every pool."""

import asyncio
from contextlib import suppress
from typing import Final

from sidecar.diagnosis.cause import Cause
from sidecar.diagnosis.dsn_parts import DsnParts
from sidecar.diagnosis.explanation import Explanation, explain
from sidecar.postgres.connect_failure import no_answer, unreachable
from sidecar.postgres.connection import SESSION_ERRORS, RawConnection, connect
from sidecar.postgres.query import sql

# Shorter than the limit of the check, which could only report a timeout.
ANSWER_SECONDS: Final = 0.9
LOGIN_SECONDS: Final = 5.0


class Ping:
    """Pings on one connection, which is replaced at the next call once it is broken.

    Args:
        dsn: Where the server is. At most role, host and database of it appear in messages.
        application_name: The name of the connection at the server.
    """

    def __init__(self, dsn: str, *, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._connection: RawConnection | None = None

    async def ask(self) -> Explanation | None:
        """Ping once and return why the server takes no writes; None when it does.

        A cancelled ping closes the connection, so that none are left behind.

        Raises:
            StoreUnavailableError: The server cannot be reached or did not answer.
        """
        try:
            refusal = await self._ask_within(ANSWER_SECONDS)
        except BaseException:
            self.close()
            raise
        if refusal is not None:
            # A session keeps the default that it began with, also after the server takes writes.
            self.close()
        return refusal

    async def try_login(self) -> Explanation | None:
        """Ping on a new connection, as the next client would; open ones may outlive a password.

        Raises:
            StoreUnavailableError: A new session is refused.
        """
        fresh = Ping(self._dsn, application_name=self._application_name)
        try:
            return await fresh._ask_within(LOGIN_SECONDS)
        finally:
            fresh.close()

    async def _ask_within(self, limit_seconds: float) -> Explanation | None:
        try:
            async with asyncio.timeout(limit_seconds):
                return await self._ask()
        except TimeoutError:
            raise no_answer(self._dsn) from None
        except SESSION_ERRORS as error:
            raise unreachable(error, self._dsn) from error

    async def _ask(self) -> Explanation | None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, application_name=self._application_name)
        row = await self._connection.fetchrow(sql("ping"))
        if row is None or row["takes_writes"]:
            return None
        cause = Cause.STANDBY if row["is_standby"] else Cause.READ_ONLY
        return explain(cause, DsnParts.of(self._dsn))

    def close(self) -> None:
        """Close the connection at once, without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.terminate()
