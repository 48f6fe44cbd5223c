"""One run: events played in one way through a projection, and what came of it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sidecar.errors import ConnectionMisuseError, trace_back
from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Subscriber
from sidecar.events.types import EventTypes
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.tables.table_shape import TableShape
from sidecar.postgres.verify.scratch import Row, Scratch
from sidecar.projections.delivery import Router
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.lent_connection import LentConnection
from sidecar.projections.projection import Partition, Subscription, subscriptions_of
from sidecar.projections.runner import Runner
from sidecar.testing.clone import clone
from sidecar.testing.hasty import Deaf, FillToTheHead, HastyContext, RetryAtOnce, ToTheHead
from sidecar.testing.injected_fault import Fault
from sidecar.testing.ledger import Entry, Log
from sidecar.testing.run_store import RunStore
from sidecar.testing.watch import Watch
from sidecar.testing.way import Way

ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left.

    Attributes:
        rows: By table.
        dead_letters: Events that failed for good, in the order in which they did.
        handled: How often the handler was called and returned.
        misuse: The first error of a connection that was used in a way that cannot work.
        projection: The object that handled the events last.
    """

    shapes: Sequence[TableShape]
    rows: Mapping[str, list[Row]]
    dead_letters: Sequence[Entry]
    handled: int
    misuse: tuple[ConnectionMisuseError, RecordedEvent] | None
    projection: object


class _Played:
    """Stands for the projection: its handler is called, and then what goes wrong happens."""

    def __init__(self, run: "Run", subscriber: Subscriber) -> None:
        self.name: Final = subscriber.name
        self.can_handle: Final = subscriber.accepts
        self._run: Final = run

    async def handle(
        self, event: object, connection: LentConnection, record: RecordedEvent
    ) -> None:
        await self._run.handle(event, connection, record)


class Player:
    """Plays events through a projection, each time through a new copy of the object.

    Args:
        target: The projection, as it was given.
        types: Those of its events.
        dsn: Where the server is.
        scratch: Where its read model is made.
        ignored: Columns that are left out.
        watch: Sees what handlers do outside.
    """

    def __init__(
        self,
        target: object,
        types: EventTypes,
        dsn: str,
        scratch: Scratch,
        ignored: Sequence[str],
        watch: Watch,
    ) -> None:
        self.types: Final = types
        self.dsn: Final = dsn
        self.scratch: Final = scratch
        self.ignored: Final = ignored
        self.watch: Final = watch
        self.target: Final = target

    def subscribe(self) -> Subscription:
        """Return the projection as a worker that starts has it."""
        publisher = EventPublisher(self.types)
        publisher.add_projection(clone(self.target))
        (subscription,) = subscriptions_of(publisher)
        return subscription

    async def play(self, way: Way, records: Sequence[RecordedEvent]) -> Outcome:
        """Play events in one way."""
        return await Run(self, way, records).play()


class Run:
    """One run in one way. Call `play` once."""

    def __init__(self, player: Player, way: Way, records: Sequence[RecordedEvent]) -> None:
        self._player: Final = player
        self._way: Final = way
        self._records: Final = records
        self._fault: Final[Fault] = way.makes_fault()
        self._own = player.subscribe()
        self._store: RunStore | None = None
        self._handled = 0
        self._schema = player.scratch.schema
        self._misuse: tuple[ConnectionMisuseError, RecordedEvent] | None = None

    async def play(self) -> Outcome:
        """Make the read model, play all events, and read what they left."""
        scratch, own = self._player.scratch, self._own
        shapes = await scratch.renew(own, self._player.ignored)
        streams = sorted({record.stream for record in self._records})
        log = Log(self._records, await scratch.divide(streams, own.partitions))
        pool = MeteredPool(self._player.dsn, name="sidecar check", min_size=0, max_size=3)
        async with pool:
            with _silence:
                entries = await self._fill(pool, log, shapes)
        rows = await scratch.read(shapes, self._schema)
        projection = self._own.subscriber.target
        return Outcome(shapes, rows, entries, self._handled, self._misuse, projection)

    async def _fill(
        self, pool: MeteredPool, log: Log, shapes: Sequence[TableShape]
    ) -> Sequence[Entry]:
        scratch = self._player.scratch
        live = self._open_store(pool, log, (scratch.schema,))
        await self._follow(live, log, "live")
        if self._way.parks:
            self._fault.mend()
            live.ledger.ask_retry([entry.record.position for entry in live.ledger.entries.values()])
            await self._follow(live, log, "live")
        entries = list(live.ledger.entries.values())
        if self._way.rebuilds and await scratch.copy(shapes):
            self._schema = scratch.copy_schema
            copy = self._open_store(pool, log, (scratch.schema, scratch.copy_schema))
            copy.discarded = _wait_behind(entries, log)
            await self._follow(copy, log, "rebuild")
        return entries

    def _open_store(self, pool: MeteredPool, log: Log, schemas: Sequence[str]) -> RunStore:
        self._store = RunStore(pool, log, schemas, self._way.page_events, self._fault)
        return self._store

    async def _follow(self, store: RunStore, log: Log, copy: str) -> None:
        """Let each partition's loop go to the head, one after the other."""
        subscription = self._drive()
        parts = [replace(part, copy=copy) for part in subscription.split()]
        steps = range(1, log.head + 1) if self._way.batch_events == 1 else (log.head,)
        for upto in steps:
            if self._way.restarts:
                self._own = self._player.subscribe()
                await self._player.scratch.set_up(self._own)
            for part in reversed(parts) if self._way.is_reversed else parts:
                await self._make_runner(subscription, part, store, upto).run()

    def _drive(self) -> Subscription:
        subscriber = Subscriber(_Played(self, self._own.subscriber), self._own.subscriber.handles)
        return replace(
            self._own,
            subscriber=subscriber,
            eager=self._way.eager,
            chunk_events=self._way.batch_events,
        )

    def _make_runner(
        self, subscription: Subscription, part: Partition, store: RunStore, upto: int
    ) -> Runner:
        head = HeadSignal()
        head.advance(upto)
        context = HastyContext(
            subscription=subscription,
            partition=part,
            router=Router(subscription.subscriber, self._player.types),
            store=store,
            head=head,
            observer=Deaf(),
            policy=RetryAtOnce(max_attempts=1 if self._way.parks else ATTEMPTS),
        )
        return Runner(context, ToTheHead if part.copy == "live" else FillToTheHead)

    async def handle(
        self, event: object, connection: LentConnection, record: RecordedEvent
    ) -> None:
        """Call the handler of the projection, and let go wrong what is to."""
        session = 0 if self._store is None else self._store.session
        try:
            with self._player.watch.handling(record, session):
                await self._own.subscriber.invoke(event, connection, record)
            if connection.is_touched:
                await connection.check_turn()
        except Exception as error:
            self._look_at(error, record)
            raise
        self._handled += 1
        await self._fault.after_handler(record, connection)

    def _look_at(self, error: Exception, record: RecordedEvent) -> None:
        for cause in trace_back(error):
            if isinstance(cause, ConnectionMisuseError) and self._misuse is None:
                self._misuse = cause, record


def _wait_behind(entries: Sequence[Entry], log: Log) -> frozenset[int]:
    """Return the positions of what failed, and of what waits behind it."""
    return frozenset(
        record.position
        for entry in entries
        for record in log.stream(entry.record.stream, entry.record.version, log.head)
    )


class _Silence:
    """Lets loops not tell of failures that are made on purpose, for as long as any run lasts."""

    def __init__(self) -> None:
        self._runs = 0
        self._level = logging.NOTSET

    def __enter__(self) -> None:
        logger = logging.getLogger("sidecar")
        if not self._runs:
            self._level = logger.level
            logger.setLevel(logging.CRITICAL + 1)
        self._runs += 1

    def __exit__(self, *_: object) -> None:
        self._runs -= 1
        if not self._runs:
            logging.getLogger("sidecar").setLevel(self._level)


_silence: Final = _Silence()
