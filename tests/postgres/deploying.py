"""A service whose releases come and go: its database, and its workers."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg

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
from tests.postgres.release_code import NAME, Code, Oracle
from tests.postgres.stage import Stage, session
from tests.postgres.verifying import make_runner

SERVICE: Final = "shop"


@dataclass
class Running:
    """A worker at work."""

    code: Code
    worker: Worker
    setups: Setups
    task: "asyncio.Task[None]"
    pool: MeteredPool
    release: Release


class Service:
    """One database, and the processes of the service that run on it.

    Attributes:
        name: What the projection is called that keeps the read model.
    """

    def __init__(self, dsn: str, pool: MeteredPool) -> None:
        self.dsn: Final = dsn
        self.pool: Final = pool
        self.name = NAME
        self.oracle: Final = Oracle()
        self.running: Final[list[Running]] = []
        self._opened = 0

    async def start(self, code: Code) -> None:
        """Start a worker of a release."""
        self._opened += 1
        pool = MeteredPool(self.dsn, name=f"worker-{self._opened}", min_size=1, max_size=6)
        await pool.open()
        stage = Stage(self.dsn, pool, code.publisher(), RetryPolicy())
        release, setups = self._prepare(stage)
        await self._set_up(setups)
        self.oracle.started(code, self.name)
        worker = self._make_worker(stage, setups)
        task = asyncio.create_task(worker.run())
        self.running.append(Running(code, worker, setups, task, pool, release))

    async def set_up(self, code: Code, service: str = SERVICE) -> Setups:
        """Do what a worker does before it runs anything, and end."""
        stage = Stage(self.dsn, self.pool, code.publisher(), RetryPolicy())
        _, setups = self._prepare(stage, service)
        await self._set_up(setups)
        return setups

    async def _set_up(self, setups: Setups) -> None:
        async with session(self.dsn) as connection:
            await setups.register(connection)
        await setups.run()

    def _prepare(self, stage: Stage, service: str = SERVICE) -> tuple[Release, Setups]:
        retired = stage.publisher.types.retired
        release = Release(stage.handled, retired, version=str(self._opened))
        opener = partial(open_session, self.dsn, application_name="setup")
        return release, Setups(stage.subscriptions.values(), opener, release, service)

    def _make_worker(self, stage: Stage, setups: Setups) -> Worker:
        head = HeadSignal()
        return Worker(
            open_safe_head=partial(open_safe_head, self.dsn, application_name="head"),
            open_leases=partial(
                open_leases,
                self.dsn,
                lambda: [part for each in setups.ready for part in each.split()],
                application_name="lease",
                restore=setups.register_again,
            ),
            make_runner=partial(make_runner, stage, head),
            head=head,
            is_transient=stage.projection_store.is_transient,
        )

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

    async def is_run(self) -> bool:
        """Return True when the newest worker runs the projection."""
        newest = self.running[-1]
        parts = await self.count_partitions()
        is_ready = newest.code.name == self.name and bool(newest.setups.ready)
        return is_ready and newest.code.partitions == parts

    async def count_partitions(self) -> int:
        """Return in how many partitions the projection runs."""
        return int(await self.pool.fetchval(_PARTITIONS, self.name))

    async def status(self) -> ProjectionStatus:
        """Return what is told of the projection."""
        async with session(self.dsn) as connection:
            # As each worker does every few seconds.
            await self.running[-1].release.counter.count(connection)
            sample = await take_sample(connection, SafeHeadFollower())
        (status,) = (each for each in sample.projections if each.name == self.name)
        return status

    async def is_quiet(self) -> bool:
        """Return True when the workers have nothing more to do."""
        for running in self.running:
            if running.task.done():
                running.task.result()
        handled = sorted({n for running in self.running for n in running.code.handled_names()})
        return bool(await self.pool.fetchval(_QUIET, handled, self.name))

    async def missing(self, code: Code) -> list[asyncpg.Record]:
        """Return the events below the checkpoint that the read model lacks, the accepted left out.

        They are of types that the release handles, or that another one does.
        """
        lacking = await self.lacking(code)
        return [row for row in lacking if row["position"] not in self.oracle.accepted]

    async def positions(self) -> dict[int, int]:
        """Return where each partition stands."""
        rows = await self.pool.fetch(_POSITIONS, self.name)
        return {row["partition"]: row["position"] for row in rows}

    async def seen(self) -> set[int]:
        """Return the positions of the events that the read model holds."""
        return {row["position"] for row in await self.pool.fetch("SELECT position FROM seen")}

    async def types_of(self, positions: Collection[int]) -> set[str]:
        """Return of which types the events at some positions are."""
        return {row["type"] for row in await self.pool.fetch(_TYPES_OF, list(positions))}

    async def letters(self) -> list[asyncpg.Record]:
        """Return the open dead letters."""
        return list(await self.pool.fetch(_LETTERS))

    async def has_declared(self, code: Code) -> bool:
        """Return True when a release has come so far as to declare its types."""
        rows = await self.pool.fetch(_DECLARED, self.name)
        active = {row["type"] for row in rows if not row["is_retired"]}
        retired = {row["type"] for row in rows if row["is_retired"]}
        return code.handled_names() <= active and code.retired & self.oracle.declared <= retired

    async def is_read(self, code: Code) -> bool:
        """Return True when a release can read each event in the log that it handles."""
        rows = await self.pool.fetch(
            "SELECT DISTINCT type FROM sidecar.events WHERE schema_version > 1"
        )
        newer = {name for about in code.newer for name in code.stored(about)}
        return {row["type"] for row in rows} & code.handled_names() <= newer

    async def lacking(self, code: Code) -> list[asyncpg.Record]:
        """Return them with those that people went on without."""
        wanted = sorted(self.oracle.declared | code.handled_names())
        return list(await self.pool.fetch(_MISSING, wanted, self.name))


_PARTITIONS: Final = (
    "SELECT max(partitions) FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'"
)
_POSITIONS: Final = (
    "SELECT partition, position FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'"
)
_TYPES_OF: Final = "SELECT DISTINCT type FROM sidecar.events WHERE position = ANY($1::bigint[])"
_LETTERS: Final = (
    "SELECT stream, position, event_type, category FROM sidecar.dead_letters "
    "WHERE resolution IS NULL"
)
_DECLARED: Final = (
    "SELECT type, retired_at IS NOT NULL AS is_retired FROM sidecar.declarations "
    "WHERE projection = $1"
)
_SESSIONS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE $1 AND pid <> pg_backend_pid()"
)
_QUIET: Final = """
    SELECT NOT EXISTS (
        SELECT FROM sidecar.checkpoints
        WHERE projection = $2 AND (
            copy <> 'live' OR block IS NULL AND state = 'running'
            AND position < (SELECT coalesce(max(position), 0) FROM sidecar.events)
        )
    ) AND NOT EXISTS (
        SELECT FROM sidecar.dead_letters WHERE resolution IS NULL
          AND CASE category WHEN 'unknown-type' THEN event_type = ANY($1)
              ELSE retry_at IS NOT NULL END
          AND NOT EXISTS (
              SELECT FROM sidecar.checkpoints
              WHERE projection = $2 AND (block IS NOT NULL OR state <> 'running')
          )
    )
"""
_MISSING: Final = """
    SELECT e.position, e.stream, e.version, e.type,
           e.version >= l.version AS is_parked
    FROM sidecar.events e
    JOIN sidecar.checkpoints c
        ON c.projection = $2 AND c.copy = 'live'
        AND c.partition = (hashtext(e.stream) & 2147483647) % c.partitions
        AND e.position <= c.position
    LEFT JOIN sidecar.dead_letters l
        ON l.stream = e.stream AND l.resolution IS NULL
    WHERE e.type = ANY($1) AND e.position NOT IN (SELECT position FROM seen)
    ORDER BY e.position
"""
