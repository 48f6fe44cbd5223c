"""A service whose releases come and go: its code, its workers and its writers, and an oracle.

The oracle knows nothing of how the sidecar remembers what: it sees the log, the read model, what
the status tells, and which releases ran.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import asyncpg
import msgspec

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.postgres.checkpoints.projection_setup import Setups
from sidecar.postgres.checkpoints.release import Release
from sidecar.postgres.connection import open_session
from sidecar.postgres.lease import open_leases
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower, open_safe_head
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.projection_status import ProjectionStatus
from sidecar.projections.retry import RetryPolicy
from sidecar.projections.worker import Worker
from tests.postgres.stage import Stage, session

NAME: Final = "seen"


class Seen:
    """Writes down what it is called for, once: a second time is an error."""

    name = NAME
    tables = (NAME,)

    def __init__(self, handles: Iterable[type], partitions: int) -> None:
        self.handles: Final = tuple(handles)
        self.partitions: Final = partitions

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS seen (position bigint PRIMARY KEY, "
            "line bigint GENERATED ALWAYS AS IDENTITY)"
        )

    async def handle(self, _event: object, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute("INSERT INTO seen (position) VALUES ($1)", record.position)


@dataclass(frozen=True)
class Code:
    """One release of the service's code.

    Attributes:
        known: Types by what they are about.
        handled: Those of them that the projection handles; None for all that are known.
        renamed: Those of them that are stored under a new name, and read under both.
        retired: Those that are gone for good.
    """

    known: tuple[str, ...]
    handled: tuple[str, ...] | None
    renamed: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    partitions: int = 1

    def stored(self, about: str) -> tuple[str, ...]:
        """Return the names under which it reads events of a type, the one that it writes last."""
        return (about, f"{about}New") if about in self.renamed else (about,)

    def handled_names(self) -> frozenset[str]:
        """Return the names of what the projection handles."""
        handled = self.known if self.handled is None else self.handled
        return frozenset(name for about in handled for name in self.stored(about))

    def publisher(self) -> EventPublisher:
        """Make what the module of the service would hold."""
        types = EventTypes()
        classes = {}
        for about in self.known:
            name = self.stored(about)[-1]
            classes[about] = types.register(name=name)(msgspec.defstruct(about, [], frozen=True))
            if name != about:
                types.rename(about, name)
        for about in self.retired:
            types.retire(about)
        publisher = EventPublisher(types)
        handled = () if self.handled is None else [classes[about] for about in self.handled]
        publisher.add_projection(Seen(handled, self.partitions))
        return publisher


@dataclass
class Oracle:
    """What has to be so, from the releases that ran and what people decided.

    Attributes:
        declared: Types that a release handles which ran, and that nobody has retired since.
        retired: Those that somebody has.
        accepted: Positions of events that people went on without, or may have.
    """

    declared: set[str] = field(default_factory=set)
    retired: set[str] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)

    def started(self, code: Code) -> None:
        """Record that a worker of a release starts."""
        self.retire(code.retired & self.declared)
        self.declared |= code.handled_names()
        self.retired -= code.handled_names()

    def written(self, code: Code) -> None:
        """Record that a writer of a release, which has its projections, begins."""
        self.declared |= code.handled_names() - self.retired

    def retire(self, names: Iterable[str]) -> None:
        """Record that nobody wants these types any more."""
        self.declared.difference_update(names)
        self.retired.update(names)


@dataclass
class Running:
    """A worker at work."""

    code: Code
    worker: Worker
    task: "asyncio.Task[None]"
    pool: MeteredPool
    release: Release


class Service:
    """One database, and the processes of the service that run on it."""

    def __init__(self, dsn: str, pool: MeteredPool) -> None:
        self.dsn: Final = dsn
        self.pool: Final = pool
        self.oracle: Final = Oracle()
        self.running: Final[list[Running]] = []
        self._opened = 0

    async def start(self, code: Code, *, dies_early: bool = False) -> None:
        """Start a worker of a release, which may end before it has done anything."""
        self._opened += 1
        pool = MeteredPool(self.dsn, name=f"worker-{self._opened}", min_size=1, max_size=6)
        await pool.open()
        publisher = code.publisher()
        stage = Stage(self.dsn, pool, publisher, RetryPolicy())
        release = Release(stage.handled, publisher.types.retired, version=str(self._opened))
        opener = partial(open_session, self.dsn, application_name="setup")
        setups = Setups(stage.subscriptions.values(), opener, release)
        async with session(self.dsn) as connection:
            await setups.register(connection)
        await setups.run()
        self.oracle.started(code)
        if dies_early:
            await pool.close()
            return
        head = HeadSignal()
        worker = Worker(
            open_safe_head=partial(open_safe_head, self.dsn, application_name="head"),
            open_leases=partial(
                open_leases,
                self.dsn,
                lambda: stage.partitions,
                application_name="lease",
                restore=setups.register_again,
            ),
            make_runner=partial(stage.make_runner, head=head),
            head=head,
            is_transient=stage.projection_store.is_transient,
        )
        task = asyncio.create_task(worker.run())
        self.running.append(Running(code, worker, task, pool, release))

    async def stop(self, *, kill: bool = False) -> None:
        """End the oldest worker: let it finish, or cut it off."""
        ended = self.running.pop(0)
        if kill:
            pids = [row["pid"] for row in await self.pool.fetch(_SESSIONS, f"%{ended.pool.name}%")]
            for pid in pids:
                await self.pool.execute("SELECT pg_terminate_backend($1)", pid)
            ended.task.cancel()
        else:
            ended.worker.stop()
        with suppress(asyncio.CancelledError):
            await ended.task
        await ended.pool.close()

    async def stop_all(self) -> None:
        """End every worker."""
        while self.running:
            await self.stop()

    async def status(self) -> ProjectionStatus:
        """Return what is told of the projection."""
        async with session(self.dsn) as connection:
            # As each worker does every few seconds.
            await self.running[-1].release.counter.count(connection)
            sample = await take_sample(connection, SafeHeadFollower())
        (status,) = sample.projections
        return status

    async def is_quiet(self) -> bool:
        """Return True when the workers have nothing more to do."""
        for running in self.running:
            if running.task.done():
                running.task.result()
        handled = sorted({n for running in self.running for n in running.code.handled_names()})
        return bool(await self.pool.fetchval(_QUIET, handled))

    async def missing(self, code: Code) -> list[asyncpg.Record]:
        """Return the events below the checkpoint that the read model lacks, the accepted left out.

        They are of types that the release handles, or that another one does.
        """
        lacking = await self.lacking(code)
        return [row for row in lacking if row["position"] not in self.oracle.accepted]

    async def lacking(self, code: Code) -> list[asyncpg.Record]:
        """Return them with those that people went on without."""
        wanted = sorted(self.oracle.declared | code.handled_names())
        return list(await self.pool.fetch(_MISSING, wanted))


_SESSIONS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE $1 AND pid <> pg_backend_pid()"
)
_QUIET: Final = """
    SELECT NOT EXISTS (
        SELECT FROM sidecar.checkpoints WHERE copy <> 'live' OR block IS NULL AND state = 'running'
        AND position < (SELECT coalesce(max(position), 0) FROM sidecar.events)
    ) AND NOT EXISTS (
        SELECT FROM sidecar.dead_letters WHERE resolution IS NULL
          AND CASE category WHEN 'unknown-type' THEN event_type = ANY($1)
              ELSE retry_at IS NOT NULL END
          AND NOT EXISTS (SELECT FROM sidecar.checkpoints WHERE block IS NOT NULL)
    )
"""
_MISSING: Final = """
    SELECT e.position, e.stream, e.version, e.type,
           e.version >= l.version AS is_parked
    FROM sidecar.events e
    JOIN sidecar.checkpoints c
        ON c.copy = 'live' AND c.partition = (hashtext(e.stream) & 2147483647) % c.partitions
        AND e.position <= c.position
    LEFT JOIN sidecar.dead_letters l
        ON l.stream = e.stream AND l.resolution IS NULL
    WHERE e.type = ANY($1) AND e.position NOT IN (SELECT position FROM seen)
    ORDER BY e.position
"""
