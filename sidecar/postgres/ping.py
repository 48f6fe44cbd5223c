"""Whether PostgreSQL answers and takes writes, asked on a connection outside of every pool."""

import asyncio
from contextlib import suppress
from typing import Final

from sidecar.diagnosis.dsn_parts import DsnParts
from sidecar.diagnosis.explanation import Explanation, explain_read_only
from sidecar.postgres.connect_failure import no_answer, unreachable
from sidecar.postgres.connection import SESSION_ERRORS, RawConnection, connect
from sidecar.postgres.query import sql

# Shorter than the check's own limit, which could only say that time ran out.
ANSWER_SECONDS: Final = 0.9
LOGIN_SECONDS: Final = 5.0


class Ping:
    """Keeps one connection and asks on it; a broken one is replaced at the next call.

    Args:
        dsn: Where the server is. At most role, host and database of it are told.
        application_name: How the connection is called at the server.
    """

    def __init__(self, dsn: str, *, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._connection: RawConnection | None = None

    async def ask(self) -> Explanation | None:
        """Ask once and return why the server takes no writes; None when it does.

        A cancelled question closes the connection, so that none are left behind.

        Raises:
            StoreUnavailableError: The server cannot be reached or did not answer.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                refusal = await self._ask()
        except TimeoutError:
            self.close()
            raise no_answer(self._dsn) from None
        except SESSION_ERRORS as error:
            self.close()
            raise unreachable(error, self._dsn) from error
        except BaseException:
            self.close()
            raise
        if refusal is not None:
            # A session keeps the default that it began with, whatever is cured meanwhile.
            self.close()
        return refusal

    async def try_login(self) -> Explanation | None:
        """Ask on a new connection, as whoever comes next would; open ones may outlive a password.

        Raises:
            StoreUnavailableError: A new session is refused.
        """
        fresh = Ping(self._dsn, application_name=self._application_name)
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                return await fresh._ask()
        except TimeoutError:
            raise no_answer(self._dsn) from None
        except SESSION_ERRORS as error:
            raise unreachable(error, self._dsn) from error
        finally:
            fresh.close()

    async def _ask(self) -> Explanation | None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, application_name=self._application_name)
        row = await self._connection.fetchrow(sql("ping"))
        if row is None or row["takes_writes"]:
            return None
        return explain_read_only(DsnParts.of(self._dsn), is_standby=row["is_standby"])

    def close(self) -> None:
        """Drop the connection at once, without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.terminate()
