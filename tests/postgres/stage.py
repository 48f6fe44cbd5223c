"""A store, and the projections that follow it, on a database of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final

import asyncpg

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.checkpoints.checkpoint import prepare, register
from sidecar.postgres.connection import ANSWER_SECONDS, RawConnection, connect
from sidecar.postgres.lease import LeaseTable, open_leases
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower, open_safe_head
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.postgres.store import EventStore
from sidecar.projections.context import PartitionContext
from sidecar.projections.delivery import Router
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.observer import RunnerTally
from sidecar.projections.passed_over import handled_types
from sidecar.projections.projection import Partition, subscriptions_of
from sidecar.projections.projection_group import member_types
from sidecar.projections.retry import RetryPolicy
from sidecar.projections.runner import Runner
from sidecar.projections.worker import Worker
from tests.postgres import shop
from tests.postgres.eventually import eventually
from tests.postgres.shop import Line, Placed


class SilentObserver:
    """A loop's observer that hears nothing."""

    @contextmanager
    def batch(self, projection: str, events: Sequence[RecordedEvent]) -> Iterator[None]:
        yield

    def event_failed(
        self, event: RecordedEvent, error: BaseException, action: str, attempt: int
    ) -> None:
        pass

    def trace_id(self) -> str | None:
        return None

    def redact(self, text: str) -> str:
        return text


class Stage:
    """Runs loops against a database; made by `open_stage`."""

    def __init__(
        self, dsn: str, pool: MeteredPool, publisher: EventPublisher, policy: RetryPolicy
    ) -> None:
        self.dsn: Final = dsn
        self.pool: Final = pool
        self.publisher: Final = publisher
        self.policy: Final = policy
        self.store: Final = EventStore(pool, publisher.types)
        self.head: Final = HeadSignal()
        self.subscriptions: Final = {s.name: s for s in subscriptions_of(publisher)}
        self.handled: Final = {
            name: handled_types(subscription, publisher.types)
            for name, subscription in self.subscriptions.items()
        }
        members = {s.name: member_types(s, publisher.types) for s in self.subscriptions.values()}
        self.projection_store: Final = PostgresProjectionStore(pool, self.handled, members=members)
        self.partitions: Final = tuple(p for s in self.subscriptions.values() for p in s.split())
        self.runners: Final[list[Runner]] = []
        self.tasks: Final[list[asyncio.Task[None]]] = []
        self._follower: Final = SafeHeadFollower()

    async def register(self) -> None:
        """Make the checkpoints and the read models."""
        async with self.pool.acquire() as connection:
            for subscription in self.subscriptions.values():
                await register(connection, subscription)
                await prepare(connection, subscription)

    async def place(self, stream: str, *amounts: int, order: str | None = None) -> None:
        """Append one `Placed` per amount."""
        await self.store.append(stream, [Placed(order or stream, amount) for amount in amounts])

    async def insert(self, stream: str, kind: str, data: str, schema_version: int = 1) -> None:
        """Append what no writer of ours would."""
        await self.pool.execute(
            "INSERT INTO sidecar.events (stream, version, type, schema_version, data) SELECT $1, "
            "1 + count(*), $2, $4, $3 FROM sidecar.events WHERE stream = $1",
            stream,
            kind,
            data,
            schema_version,
        )

    def make_runner(
        self,
        partition: Partition,
        tally: RunnerTally | None = None,
        *,
        head: HeadSignal | None = None,
        runner_type: type[Runner] = Runner,
    ) -> Runner:
        """Make a loop without starting it."""
        return runner_type(self.make_context(partition, tally, head=head))

    def make_context(
        self,
        partition: Partition,
        tally: RunnerTally | None = None,
        *,
        head: HeadSignal | None = None,
        store: PostgresProjectionStore | None = None,
    ) -> PartitionContext:
        """Make what a loop works with."""
        subscription = self.subscriptions[partition.projection]
        return PartitionContext(
            subscription=subscription,
            partition=partition,
            router=Router(subscription.subscriber, self.publisher.types),
            store=store or self.projection_store,
            head=head or self.head,
            observer=SilentObserver(),
            policy=self.policy,
            tally=tally or RunnerTally(),
        )

    def start(self) -> None:
        """Start one loop for each partition."""
        for partition in self.partitions:
            self.start_runner(self.make_runner(partition))

    def start_runner(self, runner: Runner) -> None:
        """Start one loop."""
        self.runners.append(runner)
        self.tasks.append(asyncio.create_task(runner.run()))

    async def stop(self) -> None:
        """Stop the loops and pass on what they raised."""
        for runner in self.runners:
            runner.stop()
        tasks = list(self.tasks)
        self.runners.clear()
        self.tasks.clear()
        await asyncio.gather(*tasks)

    async def advance(self) -> int:
        """Move the safe head that the loops see."""
        async with self.pool.acquire() as connection:
            self.head.advance((await self._follower.advance(connection)).position)
        return self.head.position

    def check_loops(self) -> None:
        """Pass on what a loop raised."""
        for task in self.tasks:
            if task.done():
                task.result()

    async def settle(self, within_seconds: float = 10.0) -> None:
        """Wait until every loop is done with everything that is in the log now."""
        head = await self.advance()

        async def is_done() -> bool:
            self.check_loops()
            if any(runner._cursor.seen < head for runner in self.runners):
                return False
            waiting = "SELECT count(*) FROM sidecar.dead_letters WHERE category = 'retry'"
            return not (self.runners and await self.pool.fetchval(waiting))

        await eventually(is_done, within_seconds)

    async def catch_up(self) -> None:
        """Start the loops, let them do all there is to do, and stop them."""
        self.start()
        await self.settle()
        await self.stop()

    async def lines(self, table: str = "journal") -> list[Line]:
        """Return the effects on a journal's read model in the order in which they were made."""
        rows = await self.pool.fetch(f"SELECT position, stream, version FROM {table} ORDER BY line")
        return [Line(*row) for row in rows]

    async def letters(self) -> list[dict[str, Any]]:
        """Return the unresolved dead letters."""
        rows = await self.pool.fetch(
            "SELECT * FROM sidecar.dead_letters WHERE resolution IS NULL ORDER BY stream"
        )
        return [dict(row) for row in rows]

    async def ask_retry(self) -> None:
        """Ask for a retry of every dead letter, as a person would."""
        await self.pool.execute(
            "UPDATE sidecar.dead_letters SET retry_at = clock_timestamp() WHERE resolution IS NULL"
        )

    async def until_retried(self) -> None:
        """Wait until no retry is due or planned any more."""

        async def is_done() -> bool:
            self.check_loops()
            due = "SELECT count(*) FROM sidecar.dead_letters WHERE retry_at IS NOT NULL"
            return bool(await self.pool.fetchval(due) == 0)

        await eventually(is_done)

    async def retry(self) -> None:
        """Ask for a retry of every dead letter, and let the loops do it."""
        await self.ask_retry()
        self.start()
        await self.settle()
        await self.until_retried()
        await self.stop()

    async def checkpoint(self, projection: str = "journal") -> int:
        """Return the lowest stored position of a projection."""
        query = "SELECT min(position) FROM sidecar.checkpoints WHERE projection = $1"
        return int(await self.pool.fetchval(query, projection))

    def make_lease_table(self, connection: RawConnection) -> LeaseTable:
        """Make the leases of one worker."""
        return LeaseTable(connection, lambda: self.partitions)

    def make_worker(
        self, dsn: str | None = None, *, answer_seconds: float = ANSWER_SECONDS
    ) -> Worker:
        """Make a worker that follows the head, on another way to it, and shares the leases."""
        head = HeadSignal()

        return Worker(
            open_safe_head=partial(
                open_safe_head,
                dsn or self.dsn,
                application_name="head",
                answer_seconds=answer_seconds,
            ),
            open_leases=partial(
                open_leases, self.dsn, lambda: self.partitions, application_name="lease"
            ),
            make_runner=partial(self.make_runner, head=head),
            head=head,
            is_transient=self.projection_store.is_transient,
        )


@asynccontextmanager
async def session(dsn: str, application_name: str = "test") -> AsyncIterator[RawConnection]:
    """Lend a connection of its own."""
    connection = await connect(dsn, application_name=application_name)
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def open_stage(
    dsn: str,
    *projections: object,
    handlers: Sequence[object] = (),
    types: EventTypes = shop.types,
    policy: RetryPolicy | None = None,
    max_connections: int = 10,
    init: Callable[[Any], Awaitable[None]] | None = None,
) -> AsyncIterator[Stage]:
    """Set the stage and clear it afterwards, loops included."""
    publisher = EventPublisher(types)
    for projection in projections:
        publisher.add_projection(projection)
    for handler in handlers:
        publisher.add_handler(handler)
    async with AsyncExitStack() as stack:
        pool = MeteredPool(dsn, name="stage", min_size=2, max_size=max_connections, init=init)
        await stack.enter_async_context(pool)
        stage = Stage(dsn, pool, publisher, policy or RetryPolicy())
        await stage.register()
        try:
            yield stage
        finally:
            for task in stage.tasks:
                task.cancel()
            await asyncio.gather(*stage.tasks, return_exceptions=True)


async def fetchval(dsn: str, query: str, *args: object) -> Any:
    """Ask one question on a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *args)
    finally:
        await connection.close()
