"""The methods of asyncpg's pool: each statement runs on a connection acquired for it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import asyncpg

from sidecar.postgres.connection import RawPool
from sidecar.postgres.pool_usage import AcquireContext

PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Option: TypeAlias = Any
"""What is only passed on to asyncpg, which checks it."""


class PoolMethods(ABC):
    """What asyncpg's own pool offers, with each statement going through `acquire`, which counts.

    Options are those of asyncpg's method of the same name; its times are in seconds.
    """

    _pool: RawPool

    @abstractmethod
    def acquire(self, *, timeout: float | None = None) -> AcquireContext[PooledConnection]:
        """Acquire a connection: `async with` returns it, `await` leaves that to the caller."""

    async def execute(self, query: str, *args: object, **options: Option) -> str:
        """Run a statement and return PostgreSQL's status, such as `INSERT 0 1`."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args, **options)

    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], **options: Option
    ) -> None:
        """Run a statement once per row of arguments, in one transaction."""
        async with self.acquire() as connection:
            await connection.executemany(command, args, **options)

    async def fetch(self, query: str, *args: object, **options: Option) -> list[asyncpg.Record]:
        """Return all rows."""
        async with self.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query, *args, **options)
            return rows

    async def fetchmany(
        self,
        query: str,
        args: Iterable[Sequence[object]],
        **options: Option,
    ) -> list[asyncpg.Record]:
        """Return the rows that a statement yields for each row of arguments."""
        async with self.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetchmany(query, args, **options)
            return rows

    async def fetchrow(self, query: str, *args: object, **options: Option) -> asyncpg.Record | None:
        """Return the first row or None."""
        async with self.acquire() as connection:
            row: asyncpg.Record | None = await connection.fetchrow(query, *args, **options)
            return row

    async def fetchval(self, query: str, *args: object, **options: Option) -> Any:  # noqa: ANN401 - a value of any type
        """Return one value of the first row, by default its first; None without a row."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args, **options)

    async def copy_from_table(self, table_name: str, *, output: Option, **options: Option) -> str:
        """Copy a table's rows to a file, and return PostgreSQL's status, such as `COPY 2`."""
        async with self.acquire() as connection:
            return await connection.copy_from_table(table_name, output=output, **options)

    async def copy_from_query(
        self, query: str, *args: object, output: Option, **options: Option
    ) -> str:
        """Copy a query's rows to a file, and return PostgreSQL's status, such as `COPY 2`."""
        async with self.acquire() as connection:
            return await connection.copy_from_query(query, *args, output=output, **options)

    async def copy_to_table(self, table_name: str, *, source: Option, **options: Option) -> str:
        """Copy a file's rows into a table, and return PostgreSQL's status, such as `COPY 2`."""
        async with self.acquire() as connection:
            return await connection.copy_to_table(table_name, source=source, **options)

    async def copy_records_to_table(
        self, table_name: str, *, records: Option, **options: Option
    ) -> str:
        """Copy rows from memory into a table, and return PostgreSQL's status, such as `COPY 2`."""
        async with self.acquire() as connection:
            return await connection.copy_records_to_table(table_name, records=records, **options)

    def terminate(self) -> None:
        """Close every connection at once, those in use included."""
        self._pool.terminate()

    async def expire_connections(self) -> None:
        """Replace every connection when it is acquired next."""
        await self._pool.expire_connections()

    def is_closing(self) -> bool:
        """Return True when the pool is closed or closing."""
        return self._pool.is_closing()

    def get_size(self) -> int:
        """Return how many connections are open."""
        return self._pool.get_size()

    def get_init_size(self) -> int:
        """Return how many connections are opened at first."""
        return self._pool.get_init_size()

    def get_min_size(self) -> int:
        """Return how many connections are kept open."""
        return self._pool.get_min_size()

    def get_max_size(self) -> int:
        """Return how many connections may be open."""
        return self._pool.get_max_size()

    def get_idle_size(self) -> int:
        """Return how many connections asyncpg itself counts as idle."""
        return self._pool.get_idle_size()
