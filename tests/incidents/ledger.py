"""The application's half of these tests: appends events, and compares read models with them."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from tests.beside import beside
from tests.incidents.patience import eventually
from tests.incidents.service import Paid, types

ACCOUNTS: Final = 20
READ_MODELS: Final = ("totals", "fragile", "sleepy")
WRITE_PAUSE_SECONDS: Final = 0.002

_FROM_EVENTS: Final = """
SELECT data ->> 'account', sum((data ->> 'cents')::bigint)::bigint, count(*)
FROM sidecar.events GROUP BY 1 ORDER BY 1
"""

Rows = list[tuple[Any, ...]]


class Ledger:
    """Writes and reads over connections of its own.

    Attributes:
        acknowledged: Events whose append returned.
        outages: Appends that the server's absence prevented.
    """

    def __init__(self, dsn: str, pool: MeteredPool, seed: int) -> None:
        self.acknowledged = 0
        self.outages = 0
        self._dsn = dsn
        self._store = EventStore(pool, types)
        self._random = random.Random(seed)

    async def pay(
        self,
        account: str,
        count: int = 1,
        memo: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Append so many payments to an account in one go."""
        events = [Paid(account, self._random.randint(1, 10_000), memo) for _ in range(count)]
        await self._store.append(f"account-{account}", events, metadata=metadata)
        self.acknowledged += count

    async def pay_many(self, count: int) -> None:
        """Append payments to all accounts."""
        for number in range(ACCOUNTS):
            await self.pay(f"a{number:02}", count // ACCOUNTS)

    async def pay_on(self) -> None:
        """Append to random accounts until cancelled, through outages too."""
        while True:
            try:
                await self.pay(f"a{self._random.randrange(ACCOUNTS):02}")
            except StoreUnavailableError:
                self.outages += 1
            await asyncio.sleep(WRITE_PAUSE_SECONDS)

    @asynccontextmanager
    async def paying(self) -> AsyncIterator[None]:
        """Append on and on for the length of the block; a writer that fails fails the test."""
        async with beside(self.pay_on()):
            yield

    async def query(self, statement: str, *arguments: object) -> Rows:
        connection = await asyncpg.connect(self._dsn)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    async def value(self, statement: str, *arguments: object) -> Any:
        [[value]] = await self.query(statement, *arguments)
        return value

    async def applied(self, read_model: str) -> int:
        """Return how many events a read model holds; 0 while it has no table."""
        if await self.value("SELECT to_regclass($1)::text", read_model) is None:
            return 0
        count: int = await self.value(f"SELECT coalesce(sum(events), 0)::bigint FROM {read_model}")
        return count

    async def appended(self) -> int:
        count: int = await self.value("SELECT count(*) FROM sidecar.events")
        return count

    async def expect_equal(self, *read_models: str, within_seconds: float = 20.0) -> None:
        """Wait until read models have every event, then compare their sums with the events'."""
        events = await self.appended()
        assert events >= self.acknowledged
        for read_model in read_models or READ_MODELS:

            async def has_all(read_model: str = read_model) -> bool:
                return await self.applied(read_model) >= events

            await eventually(has_all, within_seconds)
            found = await self.query(f"SELECT * FROM {read_model} ORDER BY account")
            assert found == await self.query(_FROM_EVENTS), read_model


@asynccontextmanager
async def open_ledger(dsn: str, seed: int) -> AsyncIterator[Ledger]:
    async with MeteredPool(dsn, name="ledger", min_size=1, max_size=2) as pool:
        yield Ledger(dsn, pool, seed)
