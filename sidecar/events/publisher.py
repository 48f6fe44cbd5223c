"""Publishing in process: every subscriber is called, and no failure stops another."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, cast

from sidecar.errors import ProjectionError
from sidecar.events.connection_type import Connection, ServiceConnection
from sidecar.events.exit import as_failure
from sidecar.events.publish_result import Failure, PublishResult
from sidecar.events.subscriber import Subscriber, SubscriberKind
from sidecar.events.subscriber_registry import SubscriberRegistry
from sidecar.events.tally import PublishTally, SubscriberTally
from sidecar.events.types import EventTypes

Transaction = Callable[[], AbstractAsyncContextManager[ServiceConnection]]
"""Opens a transaction, commits it on a clean exit and rolls it back otherwise."""

InitConnection = Callable[[Any], Awaitable[object]]
"""Prepares a new connection of asyncpg, such as with codecs."""

logger = logging.getLogger(__name__)


class PublishObserver(Protocol):
    """What the telemetry implements; it must neither raise nor wait."""

    def begin(self, event_type: str) -> object:
        """Record that a publish begins; the return value is handed to `end`."""

    def end(self, token: object, result: PublishResult | None) -> None:
        """Record its result; None when the publish was cancelled."""

    def trace_id(self) -> str | None:
        """Return the current trace id, 32 hex digits; None without a trace."""


class FailureSink(Protocol):
    """Keeps failures durably, to be retried."""

    async def keep(self, event: object, failures: Sequence[Failure], trace_id: str | None) -> None:
        """Keep one dead letter per failed projection.

        Raises:
            SidecarError: They could not be kept.
        """


class EventPublisher:
    """Calls general handlers, type-specific handlers, then each projection that can handle.

    The same publisher is what `sidecar run` takes: there its projections and handlers follow the
    event store, each from a checkpoint of its own. Use it from one event loop.

    Args:
        types: Names of the event types; without it events are named by their `event_type`
            attribute or their class.
        transaction: Opens the transaction in which `publish` calls projections that take a
            connection. Not needed for `sidecar run`, which brings its own.
        sink: Keeps what projections failed on in `publish`, for `sidecar dead-letters`.
        init_connection: Prepares each connection that workers lend to handlers and to `setup`, as
            `init` of asyncpg's `create_pool` does: codecs, above all. It changes nothing of what
            the sidecar itself reads and writes.
    """

    def __init__(
        self,
        types: EventTypes | None = None,
        *,
        transaction: Transaction | None = None,
        sink: FailureSink | None = None,
        init_connection: InitConnection | None = None,
    ) -> None:
        self.types: Final = types or EventTypes()
        self.types.publishers.add(self)
        self.tally: Final = PublishTally()
        self._registry: Final = SubscriberRegistry()
        self.handlers: Final = self._registry.handlers
        self.projections: Final = self._registry.projections
        self.observer: PublishObserver | None = None
        self.sink: Final = sink
        self.init_connection: Final = init_connection
        self._transaction = transaction
        self._order: list[tuple[Subscriber, SubscriberKind, SubscriberTally]] = []

    def add_handler(
        self, handler: object, *event_types: type | None, event_type: type | None = None
    ) -> None:
        """Add a handler; without event types it receives every event.

        A handler that is added again receives the new types as well, and each event once.

        Args:
            handler: An async function, a method or a partial, or an object with `async __call__` or
                `async handle`. Two with one name are distinguished by their classes or modules,
                else by numbers; workers require a `name` of each that is numbered.
            event_types: Classes that it receives; None is ignored.
            event_type: One more.

        Raises:
            ProjectionError: The handler has no usable signature, an event type is no class, or its
                `name` is taken.
        """
        types = tuple(cls for cls in (*event_types, event_type) if cls is not None)
        self._registry.add_handler(handler, types)
        self._reorder()

    def add_projection(self, projection: object) -> None:
        """Add an object with `can_handle(event)` or `handles`, and `async handle(event, ...)`.

        Raises:
            ProjectionError: The handler has no usable signature or its name is taken.
        """
        self._registry.add_projection(projection)
        self._reorder()

    async def publish(self, event: object) -> PublishResult:
        """Call every subscriber; never raises for a subscriber's failure.

        Each failure is logged with its traceback, and failed projections are named together in
        one CRITICAL line, because their read models now differ from the events. Cancellation of
        the caller is passed on, and subscribers that were not yet called are skipped. A
        cancellation that a subscriber causes is its failure, a `HandlerExitError`.
        """
        event_type = self.types.name_of(event)
        self.tally.published.add(event_type)
        if self.observer is None:
            return await self._deliver(event_type, event)
        token = self.observer.begin(event_type)
        result = None
        try:
            result = await self._deliver(event_type, event)
        finally:
            self.observer.end(token, result)
        return result

    async def _deliver(self, event_type: str, event: object) -> PublishResult:
        handled: list[str] = []
        failures: list[Failure] = []
        for subscriber, kind, tally in self._order:
            try:
                if not subscriber.accepts(event):
                    continue
                await self._call(subscriber, event)
            # The edge between user code and ours: whatever one subscriber raises, the others
            # are still called.
            except BaseException as raised:  # noqa: BLE001 - kept in the result, and logged
                error = as_failure(raised)
                failures.append(Failure(kind, subscriber.name, error))
                tally.failures.add(type(error).__name__)
            else:
                handled.append(subscriber.name)
                tally.handled += 1
        result = PublishResult(event_type, tuple(handled), tuple(failures))
        if failures:
            _log_failures(result)
            await self._keep(event, result)
        return result

    async def deliver_to(self, projection: str, event: object) -> Exception | None:
        """Hand an event to one projection again and return what it raised, if anything.

        Raises:
            ProjectionError: There is no projection of that name.
        """
        subscriber = next((s for s in self.projections if s.name == projection), None)
        if subscriber is None:
            raise ProjectionError(f"There is no projection {projection!r}.")
        tally = self.tally.projections[projection]
        try:
            await self._call(subscriber, event)
        except BaseException as raised:  # noqa: BLE001 - the same edge as in `_deliver`
            error = as_failure(raised)
            tally.failures.add(type(error).__name__)
            return error
        tally.handled += 1
        return None

    async def _keep(self, event: object, result: PublishResult) -> None:
        failed = [f for f in result.failures if f.kind is SubscriberKind.PROJECTION]
        if self.sink is None or not failed:
            return
        trace_id = None if self.observer is None else self.observer.trace_id()
        try:
            await self.sink.keep(event, failed, trace_id)
        # A sink is user code; the failures themselves have been logged already.
        except BaseException as error:
            logger.critical(
                "The failures of event %s could not be kept as dead letters; the log is their "
                "only trace",
                result.event_type,
                exc_info=as_failure(error),
                extra={"event": "sidecar.letters.lost", "event_type": result.event_type},
            )

    def _call(self, subscriber: Subscriber, event: object) -> Awaitable[object]:
        # Not a coroutine, which would cost each publish one more frame.
        if subscriber.parameters == 1:
            return subscriber.call(event)
        return self._call_in_transaction(subscriber, event)

    async def _call_in_transaction(self, subscriber: Subscriber, event: object) -> None:
        if self._transaction is None:
            raise ProjectionError(
                f"{subscriber.name} takes a connection, and this publisher has none to give: "
                "run it with `sidecar run`, or give EventPublisher a `transaction`."
            )
        async with self._transaction() as connection:
            await subscriber.invoke(event, cast("Connection", connection), None)
            _demand_commit(connection)

    def _reorder(self) -> None:
        tally = self.tally
        self._order = [
            *((s, SubscriberKind.HANDLER, tally.handlers[s.name]) for s in self.handlers),
            *((s, SubscriberKind.PROJECTION, tally.projections[s.name]) for s in self.projections),
        ]
        # A name that changed, because a later subscriber had the same, has no tally any more.
        for name in tally.handlers.keys() - {s.name for s in self.handlers}:
            del tally.handlers[name]
        for name in tally.projections.keys() - {s.name for s in self.projections}:
            del tally.projections[name]


def _demand_commit(connection: object) -> None:
    """Have it told when what a projection wrote is rolled back, where the connection is able to."""
    raw = getattr(connection, "_con", connection)
    # Of the class: what stands for a connection in a test may have whatever it is asked for.
    demand = getattr(type(raw), "demand_commit", None)
    if demand is not None:
        demand(raw)


def _log_failures(result: PublishResult) -> None:
    for failure in result.failures:
        logger.error(
            "%s %s failed for event %s: %s",
            failure.kind.capitalize(),
            failure.name,
            result.event_type,
            failure.error_type,
            exc_info=failure.error,
            extra={
                "event": "sidecar.subscriber.failed",
                failure.kind.value: failure.name,
                "event_type": result.event_type,
                "error_type": failure.error_type,
            },
        )
    failed = result.failed_projections
    if failed:
        logger.critical(
            "%d projection(s) failed for event %s; their read models may differ from the event "
            "store. Failed: %s",
            len(failed),
            result.event_type,
            ", ".join(failed),
            extra={
                "event": "sidecar.projections.failed",
                "event_type": result.event_type,
                "projections": list(failed),
            },
        )
