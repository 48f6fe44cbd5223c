"""Observability-first sidecar for event-sourced services on PostgreSQL.

Names are imported when they are first used, so that `import sidecar` costs nothing and loads no
driver, no web server and no exporter.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sidecar.version import __version__ as __version__

if TYPE_CHECKING:
    from sidecar.errors import ConcurrencyError, SidecarError
    from sidecar.events.publish_result import PublishResult
    from sidecar.events.publisher import EventPublisher
    from sidecar.events.record import ANY, NO_STREAM, RecordedEvent
    from sidecar.events.types import EventTypes
    from sidecar.postgres.pools.pool import MeteredPool
    from sidecar.postgres.store import EventStore
    from sidecar.projections.projection import Projection
    from sidecar.wiring.application_agent import agent
    from sidecar.wiring.instrument import instrument, uninstrument
    from sidecar.wiring.sink import DeadLetterSink

__all__ = [
    "ANY",
    "NO_STREAM",
    "ConcurrencyError",
    "DeadLetterSink",
    "EventPublisher",
    "EventStore",
    "EventTypes",
    "MeteredPool",
    "Projection",
    "PublishResult",
    "RecordedEvent",
    "SidecarError",
    "agent",
    "instrument",
    "uninstrument",
]

_HOMES: Final = {
    "errors": ("ConcurrencyError", "SidecarError"),
    "events.publish_result": ("PublishResult",),
    "events.publisher": ("EventPublisher",),
    "events.record": ("ANY", "NO_STREAM", "RecordedEvent"),
    "events.types": ("EventTypes",),
    "postgres.pools.pool": ("MeteredPool",),
    "postgres.store": ("EventStore",),
    "projections.projection": ("Projection",),
    "wiring.application_agent": ("agent",),
    "wiring.instrument": ("instrument", "uninstrument"),
    "wiring.sink": ("DeadLetterSink",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
