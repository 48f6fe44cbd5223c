"""Publishers, pools and stores of a service, instrumented without a change to their code."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final, Protocol, TypeVar

from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.pools.instrumented_pool import InstrumentedPool, find_instrumented, is_pool
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.telemetry.appending import AppendTelemetry
from sidecar.telemetry.instrumented_publisher import (
    InstrumentedPublisher,
    find_instrumented_publisher,
)
from sidecar.telemetry.pool_metrics import follow_pool
from sidecar.telemetry.publisher_metrics import Publishing, observe_publisher
from sidecar.telemetry.setup import Telemetry
from sidecar.version import __version__
from sidecar.wiring.boot import redact_environment

_UNDO: Final = "_sidecar_undo"

T = TypeVar("T")


class Publisher(Protocol):
    """Any publisher: what it returns and how it treats failures is its own affair."""

    def publish(self, event: Any, /) -> Awaitable[object]:  # noqa: ANN401 - any shape of event
        """Call the subscribers of an event."""


def instrument(target: T, *, name: str = "default") -> T:
    """Instrument a publisher, a pool or a store with the application's OpenTelemetry.

    It takes any object with `async publish(event)`, asyncpg's pool, our own of both, and our store,
    whose events then carry the trace in which they were appended. Spans, durations and counts go to
    the global providers, also when they are set later. Inside `sidecar.agent` this is not needed:
    what is given to it is instrumented for that long. In what is recorded of failures, the secrets
    of the environment are masked, as they are at the call.

    Doing it again makes no difference; `uninstrument` undoes it.

    Args:
        target: Is changed in place; its methods keep their signatures.
        name: What a plain pool is called in metrics.

    Returns:
        The target.

    Raises:
        UsageError: It is none of these.
    """
    if _find_undo(target) is None:
        stack = ExitStack()
        telemetry = Telemetry.borrow(version=__version__, redact=redact_environment())
        if isinstance(target, EventStore):
            follow_store(stack, telemetry, target)
        elif isinstance(target, MeteredPool) or is_pool(target):
            follow_any_pool(stack, telemetry, target, name)
        else:
            follow_any_publisher(stack, telemetry, target)
        setattr(_keeper(target), _UNDO, stack.close)
    return target


def uninstrument(target: object) -> None:
    """Undo `instrument`; without it, nothing happens."""
    undo = _find_undo(target)
    if undo is not None:
        delattr(_keeper(target), _UNDO)
        undo()


def follow_any_publisher(stack: ExitStack, telemetry: Telemetry, publisher: object) -> Publishing:
    """Observe a publisher until the stack is closed.

    Raises:
        UsageError: It is none.
    """
    own = publisher if isinstance(publisher, EventPublisher) else None
    counted: Publishing | None = own or find_instrumented_publisher(publisher)
    if counted is None:
        counted = replaced = InstrumentedPublisher(publisher)
        stack.callback(replaced.undo)
    stack.callback(observe_publisher(telemetry, counted))
    return counted


def follow_any_pool(
    stack: ExitStack, telemetry: Telemetry, pool: object, name: str
) -> MeteredPool | InstrumentedPool:
    """Observe a pool until the stack is closed.

    Raises:
        UsageError: It is none.
    """
    counted = pool if isinstance(pool, MeteredPool) else find_instrumented(pool)
    if counted is None:
        if not is_pool(pool):
            raise UsageError(f"{type(pool).__name__} is neither a MeteredPool nor asyncpg's pool.")
        counted = replaced = InstrumentedPool(pool, name)
        stack.callback(replaced.undo)
    stack.callback(follow_pool(telemetry, counted))
    return counted


def follow_store(stack: ExitStack, telemetry: Telemetry, store: EventStore) -> None:
    """Observe a store's appends until the stack is closed."""
    stack.callback(setattr, store, "observer", store.observer)
    store.observer = AppendTelemetry(telemetry)


def _keeper(target: object) -> object:
    """Return where a target's undoing is kept: asyncpg's pool has no place for it."""
    return find_instrumented(target) or target


def _find_undo(target: object) -> Callable[[], None] | None:
    undo: Callable[[], None] | None = getattr(_keeper(target), _UNDO, None)
    return undo
