"""What a service developer writes, and what the runner makes of it."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from sidecar.errors import ProjectionError
from sidecar.events.event_log import PAGE_EVENTS
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection, Subscriber, SubscriberKind
from sidecar.projections.log_start import FORMS, Start, read_start

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
# A handler's effect lies outside the read model's transaction, so the checkpoint follows closely:
# after a crash at most this many events are handled again.
HANDLER_CHUNK_EVENTS: Final = 1
PLAIN_CHUNK_EVENTS: Final = 100

T = TypeVar("T")


class Projection:
    """Keeps a read model. Subclass it, or write any object of the same shape.

    `handle` takes (event), (event, connection) or (event, connection, record). With a connection
    its writes and its checkpoint are one transaction, so that each event takes effect exactly once;
    without one an event may be handled again after a crash. A parameter with a default keeps it.

    It may also have `async def setup(connection)`, called before its first event and at every start
    since: the place to create its tables, if they do not exist yet. When it raises, this projection
    is told as failed and left out until its worker is started again; while it takes long, this
    projection waits for it. The others run.

    Attributes:
        name: Name in checkpoints, metrics and commands; the class name by default. Changing it
            starts a new projection from the first event.
        handles: Event classes that it wants; empty means that `can_handle` decides.
        tables: Its read model's tables, all of them; needed by a rebuild, with a handler that takes
            the connection and names them without a schema.
        partitions: Into how many parts, by hash of the stream, its work can be shared out. The
            number can change once all parts stand at one position, as when they are caught up and
            paused; a pause stays. Workers that know another number leave the projection alone.
        eager: Send each write at once instead of coalescing them.
        timeout_seconds: How long one event may take. It holds in place of the server's
            `idle_in_transaction_session_timeout` and `transaction_timeout`.
        start_at: Where it starts when it is new: after a position, at a time (an aware `datetime`,
            or its text), or `"now"`. None is before the first event; for a handler, now. A rebuild
            and a verification start there too, and what lies below is told.
    """

    name: ClassVar[str] = ""
    handles: ClassVar[tuple[type, ...]] = ()
    tables: ClassVar[tuple[str, ...]] = ()
    partitions: ClassVar[int] = 1
    eager: ClassVar[bool] = False
    timeout_seconds: ClassVar[float] = DEFAULT_TIMEOUT_SECONDS
    start_at: ClassVar[int | dt.datetime | str | None] = None


@dataclass(frozen=True, slots=True)
class Partition:
    """One part of a projection's work: the unit of leases, checkpoints and loops.

    Attributes:
        index: From 0, below `count`.
        copy: `live`, or `rebuild` while a new read model is being filled.
    """

    projection: str
    index: int = 0
    count: int = 1
    copy: str = "live"

    def __str__(self) -> str:
        part = f"/{self.index}" if self.count > 1 else ""
        return f"{self.projection}{part}" + ("" if self.copy == "live" else f" ({self.copy})")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscriber together with how the runner drives it.

    Attributes:
        chunk_events: At most so many events per transaction.
        tables: As declared by the projection.
        setup: Prepares the read model; safe to repeat.
        start: Where it starts when it is new; None where that is not declared.
    """

    subscriber: Subscriber
    kind: SubscriberKind
    partitions: int = 1
    eager: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    chunk_events: int = PAGE_EVENTS
    tables: tuple[str, ...] = ()
    setup: Callable[[Connection], Awaitable[object]] | None = None
    start: Start | None = None

    @property
    def name(self) -> str:
        """The subscriber's name."""
        return self.subscriber.name

    @property
    def is_repeatable(self) -> bool:
        """Whether all that it does for an event is undone when its transaction is."""
        return self.subscriber.wants_connection

    def split(self) -> tuple[Partition, ...]:
        """Return the parts that its work can be shared out in."""
        return tuple(
            Partition(self.name, index, self.partitions) for index in range(self.partitions)
        )


def subscriptions_of(publisher: EventPublisher) -> tuple[Subscription, ...]:
    """Return a publisher's projections, then its handlers, as the runner drives them.

    Raises:
        ProjectionError: An attribute has a value that cannot work, or `tables` are declared by a
            projection that a rebuild could not lead to a new copy of them.
    """
    return (
        *(subscribe(s, SubscriberKind.PROJECTION) for s in publisher.projections),
        *(subscribe(s, SubscriberKind.HANDLER) for s in publisher.handlers),
    )


def subscribe(subscriber: Subscriber, kind: SubscriberKind) -> Subscription:
    """Return one subscriber as the runner drives it; raises what `subscriptions_of` does."""
    if subscriber.is_numbered:
        raise ProjectionError(
            f"{subscriber.name} is one of several handlers of one name. A worker keeps a "
            "checkpoint for each, so give each a `name` attribute of its own."
        )
    if subscriber.wants_connection:
        chunk_events = PAGE_EVENTS
    else:
        plain = kind is SubscriberKind.PROJECTION
        chunk_events = PLAIN_CHUNK_EVENTS if plain else HANDLER_CHUNK_EVENTS
    tables: tuple[str, ...] = _read(subscriber, "tables", ())
    if tables and not subscriber.wants_connection:
        raise ProjectionError(
            f"{subscriber.name} declares `tables`, but its handler takes no connection: a rebuild "
            "would apply every event to the live tables again. Let it write through the connection "
            "of `handle(event, connection)`, or remove `tables`."
        )
    return Subscription(
        subscriber,
        kind,
        partitions=_read(subscriber, "partitions", 1, lambda count: count >= 1),
        eager=_read(subscriber, "eager", default=False),
        timeout_seconds=_read(
            subscriber, "timeout_seconds", DEFAULT_TIMEOUT_SECONDS, lambda seconds: seconds > 0
        ),
        chunk_events=chunk_events,
        tables=tables,
        setup=getattr(subscriber.target, "setup", None),
        start=_read_start(subscriber),
    )


def _read_start(subscriber: Subscriber) -> Start | None:
    declared = getattr(subscriber.target, "start_at", None)
    try:
        return None if declared is None else read_start(declared)
    except ValueError:
        raise ProjectionError(
            f"{subscriber.name}.start_at is {declared!r}; that is not {FORMS}."
        ) from None


def _read(
    subscriber: Subscriber,
    attribute: str,
    default: T,
    is_fit: Callable[[T], bool] = lambda _value: True,
) -> T:
    """Return an attribute of the developer's object, of the same type as its default."""
    value: T = getattr(subscriber.target, attribute, default)
    if not isinstance(value, type(default)) or not is_fit(value):
        raise ProjectionError(f"{subscriber.name}.{attribute} is {value!r}; that cannot work.")
    return value
