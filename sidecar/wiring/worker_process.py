"""`sidecar run TARGET`: a worker with its agent."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from sidecar.config.environment import Environment
from sidecar.errors import MigrationError, StoreRefusedError, StoreUnavailableError
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import SubscriberKind
from sidecar.lint.finding import Violation, weigh_all
from sidecar.lint.rules.event_versions import find_faults
from sidecar.postgres.checkpoints.checkpoint import list_recent_versions
from sidecar.postgres.checkpoints.projection_setup import Setups
from sidecar.postgres.checkpoints.release import Release
from sidecar.postgres.connection import explain_init, open_session
from sidecar.postgres.dead_letters.dead_letter_retention import DeadLetterRetention
from sidecar.postgres.lease import open_leases
from sidecar.postgres.log.safe_head_follower import open_safe_head
from sidecar.postgres.log_memory.log_keeper import LogKeeper
from sidecar.postgres.migration import find_unsafe_sequence, migrate, pending
from sidecar.postgres.pools.leak import watch_leaks
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.postgres.rights import require_rights, translate_refusal
from sidecar.postgres.verify.verification_schedule import VerificationSchedule
from sidecar.process.garbage_collector import freeze_gc
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.lifecycle import Shutdown
from sidecar.projections.context import PartitionContext
from sidecar.projections.delivery import Router
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.members import MemberTypes
from sidecar.projections.observer import ProjectionNumbers, RunnerTally
from sidecar.projections.passed_over import handled_types
from sidecar.projections.projection import Partition, subscriptions_of
from sidecar.projections.projection_group import member_types
from sidecar.projections.retry import RetryPolicy
from sidecar.projections.runner import Runner
from sidecar.projections.worker import Worker
from sidecar.telemetry.pool_metrics import follow_pool
from sidecar.telemetry.projection_metrics import (
    RunnerTelemetry,
    observe_handlers,
    observe_projections,
)
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.application_agent import make_agent
from sidecar.wiring.boot import Boot, log_findings
from sidecar.wiring.fingerprint import fingerprint_of
from sidecar.wiring.place import WorkerSocket
from sidecar.wiring.worker_loops import make_verifier, report_loops

DATABASE_WAIT_SECONDS: Final = 1.0
QUICK_SETUP_SECONDS: Final = 1.0
"""Setups that are over so soon are waited for, so that all is shared out at once."""
LEAK_LIMIT_SECONDS: Final = 300.0
"""A batch is one transaction, which a slow handler may hold for long."""

logger = logging.getLogger(__name__)


class WorkerProcess:
    """Everything that one worker is made of; the caller closes the telemetry."""

    def __init__(
        self, boot: Boot, publisher: EventPublisher, dsn: str, telemetry: Telemetry
    ) -> None:
        self._boot = boot
        self._publisher = publisher
        self._dsn = dsn
        self._telemetry = telemetry
        self._head: Final = HeadSignal()
        self._observer: Final = RunnerTelemetry(telemetry)
        self._policy: Final = RetryPolicy(park_seconds=boot.settings.park_retry_seconds or None)
        self._subscriptions: Final = {s.name: s for s in subscriptions_of(publisher)}
        self._init: Final = explain_init(publisher.init_connection)
        self._release: Final = self._read_release()
        self._setups: Final = Setups(
            self._subscriptions.values(),
            partial(open_session, dsn, application_name=self._name("setup"), init=self._init),
            self._release,
            boot.service,
        )
        self._log: Final = LogKeeper(dsn, boot.settings.data_directory)
        self._worker: Worker | None = None
        self._violations: tuple[Violation, ...] = ()

    def _read_release(self) -> Release:
        types = self._publisher.types
        subscriptions = self._subscriptions.items()
        handled = {name: handled_types(each, types) for name, each in subscriptions}
        version = self._boot.release
        fingerprints = {
            name: fingerprint_of(each.subscriber.target, version) for name, each in subscriptions
        }
        return Release(handled, types.retired, version=version, fingerprints=fingerprints)

    async def run(self, listener: socket.socket, shutdown: Shutdown) -> None:
        """Work until a shutdown is requested; a second request cuts the last batch off."""
        place = WorkerSocket(self._boot.settings)
        agent = make_agent(self._telemetry, self._report, listener, *place.listeners)
        async with agent, AsyncExitStack() as stack:
            stack.callback(place.leave)
            pool = await self._reach_database(stack, shutdown)
            if pool is not None:
                freeze_gc()
                beside = [
                    asyncio.create_task(self._release.counter.run(pool)),
                    asyncio.create_task(self._setups.retry()),
                ]
                if days := self._boot.settings.dead_letter_days:
                    retention = DeadLetterRetention(days)
                    beside.append(asyncio.create_task(retention.run(pool.acquire)))
                if percent := self._boot.settings.verify_percent:
                    schedule = VerificationSchedule(tuple(self._subscriptions), percent / 100)
                    beside.append(asyncio.create_task(schedule.run(pool)))
                try:
                    await self._set_up_and_work(pool, shutdown)
                finally:
                    for task in beside:
                        task.cancel()

    async def _set_up_and_work(self, pool: MeteredPool, shutdown: Shutdown) -> None:
        """Work on what is ready; the rest joins as its setup ends."""
        async with asyncio.TaskGroup() as group:
            setting_up = group.create_task(self._setups.run())
            await asyncio.wait((setting_up,), timeout=QUICK_SETUP_SECONDS)
            await self._work(pool, shutdown)
            setting_up.cancel()

    def _list_members(self) -> dict[str, MemberTypes]:
        types = self._publisher.types
        return {name: member_types(each, types) for name, each in self._subscriptions.items()}

    def _list_partitions(self) -> tuple[Partition, ...]:
        return tuple(partition for each in self._setups.ready for partition in each.split())

    async def _work(self, pool: MeteredPool, shutdown: Shutdown) -> None:
        store = PostgresProjectionStore(
            pool, self._release.handled, self._log, self._list_members()
        )

        def make_runner(partition: Partition, tally: RunnerTally) -> Runner:
            subscription = self._subscriptions[partition.projection]
            context = PartitionContext(
                subscription=subscription,
                partition=partition,
                router=Router(subscription.subscriber, self._publisher.types),
                store=store,
                head=self._head,
                observer=self._observer,
                policy=self._policy,
                tally=tally,
            )
            return make_verifier(context, pool) if partition.copy == "verify" else Runner(context)

        worker = self._worker = Worker(
            open_safe_head=partial(
                open_safe_head, self._dsn, application_name=self._name("head"), log=self._log
            ),
            open_leases=partial(
                open_leases,
                self._dsn,
                self._list_partitions,
                application_name=self._name("lease"),
                restore=self._setups.register_again,
            ),
            make_runner=make_runner,
            head=self._head,
            is_transient=store.is_transient,
        )
        observe_projections(
            self._telemetry, lambda: self._numbers(worker, SubscriberKind.PROJECTION)
        )
        observe_handlers(self._telemetry, lambda: self._numbers(worker, SubscriberKind.HANDLER))

        async def stop() -> None:
            worker.stop()

        await shutdown.run(worker.run(), stop)

    async def _reach_database(
        self, stack: AsyncExitStack, shutdown: Shutdown
    ) -> MeteredPool | None:
        """Wait for the database, its schema and a pool; None when a shutdown came first."""
        logged = ""
        while not shutdown.requested.is_set():
            try:
                reason = await self._prepare_schema()
                if not reason:
                    return await stack.enter_async_context(self._open_pool())
            except (StoreUnavailableError, StoreRefusedError, MigrationError) as error:
                reason = str(error)
            if reason != logged:
                logged = reason
                logger.warning(
                    "Waiting for the database: %s", reason, extra={"event": "sidecar.worker.waits"}
                )
            await shutdown.wait_requested(DATABASE_WAIT_SECONDS)
        return None

    async def _prepare_schema(self) -> str:
        """Bring the schema to head and register; return what is in the way, if anything."""
        async with (
            open_session(self._dsn, application_name=self._name("setup")) as connection,
            translate_refusal(connection),
        ):
            if refusal := await self._log.compare(connection):
                return refusal
            if self._boot.settings.auto_migrate:
                await migrate(connection)
            steps = await pending(connection)
            if steps:
                return f"run `sidecar migrate`; pending: {', '.join(s.name for s in steps)}"
            await require_rights(connection)
            if unsafe := await find_unsafe_sequence(connection):
                return unsafe
            await self._setups.register(connection)
            self._judge_types(await list_recent_versions(connection))
            return ""

    def _judge_types(self, stored: Mapping[str, int]) -> None:
        """Find what will park events, log it, and report it to the probe process."""
        self._violations = tuple(find_faults(self._publisher.types, stored))
        log_findings(weigh_all(self._violations, self._boot.settings.environment))

    @asynccontextmanager
    async def _open_pool(self) -> AsyncIterator[MeteredPool]:
        settings = self._boot.settings
        pool = MeteredPool(
            self._dsn,
            name=self._name("pool"),
            min_size=settings.pool_min_size,
            max_size=settings.pool_max_size,
            acquire_timeout_seconds=settings.pool_acquire_timeout_seconds,
            leak_limit_seconds=LEAK_LIMIT_SECONDS,
            init=self._init,
        )
        if settings.environment is Environment.DEVELOPMENT:
            pool.keep_stacks()
        forget = follow_pool(self._telemetry, pool)
        watching = asyncio.create_task(watch_leaks(pool))
        try:
            yield await pool.open()
        finally:
            watching.cancel()
            forget()
            await pool.close()

    def _numbers(self, worker: Worker, kind: SubscriberKind) -> dict[str, ProjectionNumbers]:
        return {
            name: numbers
            for name, numbers in worker.numbers().items()
            if self._subscriptions[name].kind is kind
        }

    def _name(self, part: str) -> str:
        return f"{self._boot.session_name} {part}"

    def _report(self) -> Heartbeat:
        runners = {} if self._worker is None else self._worker.runners
        return Heartbeat(
            process=self._boot.process,
            pid=os.getpid(),
            telemetry_dropped=self._telemetry.losses.total(),
            projections=report_loops(runners),
            setups=self._setups.ages_seconds(),
            refused=dict(self._setups.refused),
            violations=self._violations,
        )
