"""A publisher that a service already has, counted as our own is."""

import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from sidecar.errors import UsageError
from sidecar.events.publish_result import Failure, PublishResult
from sidecar.events.publisher import PublishObserver
from sidecar.events.subscriber import SubscriberKind
from sidecar.events.subscriber_name import name_of
from sidecar.events.tally import PublishTally, SubscriberTally
from sidecar.events.types import EventTypes

_MARK: Final = "__sidecar_instrumented__"

Publish = Callable[..., Awaitable[object]]


class InstrumentedPublisher:
    """Counts what a publisher does, from the moment it is made until `undo`.

    `publish` is replaced on the instance, and so is `handle` of each projection that the publisher
    lists in `_projections`, for a publisher may keep their failures to itself. Signatures stay.

    Attributes:
        tally: What was published, and who failed.
        observer: Called around each publish, as that of `EventPublisher` is.

    Raises:
        UsageError: The publisher has no `async publish(event)`, or lets none be replaced.
    """

    def __init__(self, publisher: Any) -> None:  # noqa: ANN401 - any shape
        publish = getattr(publisher, "publish", None)
        if not inspect.iscoroutinefunction(publish):
            raise UsageError(
                f"{type(publisher).__name__} has no `async publish(event)` to instrument."
            )
        self.tally: Final = PublishTally()
        self.observer: PublishObserver | None = None
        self._publisher: Final = publisher
        self._name_of: Final = EventTypes().name_of
        self._failures: Final[ContextVar[list[Failure] | None]] = ContextVar(
            "failures", default=None
        )
        self._replaced: Final[list[tuple[object, str, object]]] = []
        self._seen: Final[set[int]] = set()
        self._replace(publisher, "publish", self._wrap_publish(publish))
        self._adopt_subscribers()

    def undo(self) -> None:
        """Put back the methods that were replaced."""
        for target, name, previous in reversed(self._replaced):
            # What replaced it since then still calls ours, which goes on counting.
            if getattr(vars(target).get(name), _MARK, None) is self:
                del vars(target)[name]
                if previous is not None:
                    setattr(target, name, previous)
        self._replaced.clear()

    def _replace(self, target: object, name: str, method: Callable[..., object]) -> None:
        setattr(method, _MARK, self)
        previous = getattr(target, "__dict__", {}).get(name)
        try:
            setattr(target, name, method)
        except AttributeError as error:
            raise UsageError(
                f"{type(target).__name__} has slots, so that its {name!r} cannot be replaced."
            ) from error
        self._replaced.append((target, name, previous))

    def _wrap_publish(self, publish: Publish) -> Publish:
        @wraps(publish)
        async def observed(event: object, *args: object, **options: object) -> object:
            self._adopt_subscribers()
            event_type = self._name_of(event)
            self.tally.published.add(event_type)
            failures: list[Failure] = []
            token = self._failures.set(failures)
            observer = self.observer
            begun = None if observer is None else observer.begin(event_type)
            result = None
            try:
                returned = await publish(event, *args, **options)
                result = PublishResult(event_type, (), tuple(failures))
            except Exception as error:
                result = PublishResult(event_type, (), (*failures, self._note_own(error)))
                raise
            finally:
                self._failures.reset(token)
                if observer is not None:
                    observer.end(begun, result)
            return returned

        return observed

    def _note_own(self, error: Exception) -> Failure:
        """Count what the publisher itself raised, under its name."""
        name = name_of(self._publisher)
        self.tally.handlers[name].failures.add(type(error).__name__)
        return Failure(SubscriberKind.HANDLER, name, error)

    def _adopt_subscribers(self) -> None:
        """Wrap the projections that were added since the last publish."""
        for projection in _list_projections(self._publisher):
            if id(projection) not in self._seen:
                self._seen.add(id(projection))
                self._adopt(projection, self.tally.projections[name_of(projection)])

    def _adopt(self, projection: object, tally: SubscriberTally) -> None:
        handle = getattr(projection, "handle", None)
        # What has slots is left as it is: its failures show where its publisher raises them.
        if not inspect.iscoroutinefunction(handle) or not hasattr(projection, "__dict__"):
            return

        @wraps(handle)
        async def counted(*args: object, **options: object) -> object:
            try:
                returned = await handle(*args, **options)
            except Exception as error:
                tally.failures.add(type(error).__name__)
                failures = self._failures.get()
                if failures is not None:
                    failures.append(Failure(SubscriberKind.PROJECTION, name_of(projection), error))
                raise
            tally.handled += 1
            return returned

        self._replace(projection, "handle", counted)


def find_instrumented_publisher(publisher: object) -> InstrumentedPublisher | None:
    """Return what counts a publisher already."""
    instrumented = getattr(getattr(publisher, "publish", None), _MARK, None)
    return instrumented if isinstance(instrumented, InstrumentedPublisher) else None


def _list_projections(publisher: object) -> list[object]:
    for name in ("_projections", "projections"):
        subscribers = getattr(publisher, name, None)
        if isinstance(subscribers, list | tuple):
            return list(subscribers)
    return []
