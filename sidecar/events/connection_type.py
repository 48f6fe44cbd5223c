"""The type of what a projection reads and writes with; asyncpg's connection has most of it."""

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol

# A row, a value, a codec or a file of any kind, as asyncpg takes and gives them.
Anything = Any


class Block(Protocol):
    """A part that can be undone alone: by `async with`, or by `start`, `commit` and `rollback`."""

    async def start(self) -> None:
        """Begin."""

    async def commit(self) -> None:
        """Keep what was done since."""

    async def rollback(self) -> None:
        """Undo what was done since."""

    async def __aenter__(self) -> None:
        """Begin."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> object:
        """Keep what was done since, or after an error undo it."""


class Cursor(Protocol):
    """Reads the rows of a query part by part."""

    async def fetch(self, n: int, *, timeout: float | None = None) -> Sequence[Anything]:  # noqa: ASYNC109 - asyncpg's own
        """Return the next rows, at most `n`; none at the end."""

    async def fetchrow(self, *, timeout: float | None = None) -> Anything:  # noqa: ASYNC109 - asyncpg's own
        """Return the next row, None at the end."""

    async def forward(self, n: int, *, timeout: float | None = None) -> int:  # noqa: ASYNC109 - asyncpg's own
        """Skip the next rows, at most `n`; return how many."""


class Cursors(Protocol):
    """What `cursor` returns: `async for` reads all rows, `await` gives a cursor to move by hand."""

    def __aiter__(self) -> AsyncIterator[Anything]:
        """Read all rows."""

    def __await__(self) -> Generator[Any, None, Cursor]:
        """Open a cursor."""


class Statement(Protocol):
    """A prepared statement; a handler prepares its own."""

    async def fetch(self, *args: object, timeout: float | None = None) -> Sequence[Anything]:  # noqa: ASYNC109 - asyncpg's own
        """Run it and return all rows."""

    async def fetchrow(self, *args: object, timeout: float | None = None) -> Anything:  # noqa: ASYNC109 - asyncpg's own
        """Run it and return the first row or None."""

    async def fetchval(
        self,
        *args: object,
        column: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> Anything:
        """Run it and return a value of the first row or None."""

    async def executemany(
        self,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> None:
        """Run it once per row of arguments."""

    def cursor(
        self, *args: object, prefetch: int | None = None, timeout: float | None = None
    ) -> Cursors:
        """Read its rows part by part."""

    def get_statusmsg(self) -> str | None:
        """Return the status of its last run."""


class ServiceConnection(Protocol):
    """asyncpg's connection, or one of a pool, as far as handlers can use it."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> object:  # noqa: ASYNC109 - asyncpg's own
        """Run a statement; it may be deferred until the next read or the end of the batch."""

    async def executemany(
        self,
        command: str,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> None:
        """Run a statement once per row of arguments; it may be deferred likewise."""

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> Sequence[Anything]:
        """Return all rows, after every deferred write has reached the server."""

    async def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> Anything:  # noqa: ASYNC109 - asyncpg's own
        """Return the first row or None."""

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> Anything:
        """Return a value of the first row or None."""

    async def fetchmany(
        self,
        query: str,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> Sequence[Anything]:
        """Run a statement once per row of arguments and return all rows."""

    def cursor(
        self,
        query: str,
        *args: object,
        prefetch: int | None = None,
        timeout: float | None = None,
    ) -> Cursors:
        """Read the rows of a query part by part."""

    async def prepare(self, query: str, *, timeout: float | None = None) -> Statement:  # noqa: ASYNC109 - asyncpg's own
        """Prepare a statement, which can be used until the handler ends."""

    def transaction(self) -> Block:
        """Return a block in a savepoint, so that a handler can catch an error of its statements."""

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
        where: str | None = None,
    ) -> str:
        """Copy rows into a table."""

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Anything,
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> str:
        """Copy a file into a table; asyncpg's other options are there, too."""

    async def copy_from_table(
        self,
        table_name: str,
        *,
        output: Anything,
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> str:
        """Copy a table to a file; likewise."""

    async def copy_from_query(
        self,
        query: str,
        *args: object,
        output: Anything,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> str:
        """Copy what a query returns to a file; likewise."""

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str = "public",
        encoder: Anything,
        decoder: Anything,
        format: str = "text",  # noqa: A002 - asyncpg's own
    ) -> None:
        """Set how values of a type are written and read, until the handler ends."""

    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> None:
        """Take that back."""

    def is_in_transaction(self) -> bool:
        """Return True, for a handler runs in the transaction of its batch."""

    def get_server_pid(self) -> int:
        """Return the process id of the session at the server."""

    def get_server_version(self) -> Anything:
        """Return the server's version."""

    def get_settings(self) -> Anything:
        """Return what the server has told of its settings."""


class Connection(ServiceConnection, Protocol):
    """What a projection reads and writes its read model with, inside one transaction.

    It can be used until the handler ends, by one task at a time.
    """

    async def raw(self) -> Anything:
        """Return asyncpg's connection, for code that wants nothing else, after a flush.

        It can be used until the handler ends; what is written from then on is sent at once. Workers
        have it; in `publish` the connection is that of the publisher's `transaction` as it is.
        """
