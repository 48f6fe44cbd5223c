"""Observability-first sidecar for event-sourced services on PostgreSQL.

Names are imported when they are first used, so that `import sidecar` costs nothing and loads no
driver, no web server and no exporter.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sidecar.version import __version__ as __version__

if TYPE_CHECKING:
    from sidecar.errors import ConcurrencyError, SidecarError
    from sidecar.events.publisher import EventPublisher, PublishResult
    from sidecar.events.record import ANY, NO_STREAM, RecordedEvent
    from sidecar.events.types import EventTypes
    from sidecar.postgres.pool import MeteredPool
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
    "ANY": "sidecar.events.record",
    "NO_STREAM": "sidecar.events.record",
    "ConcurrencyError": "sidecar.errors",
    "DeadLetterSink": "sidecar.wiring.sink",
    "EventPublisher": "sidecar.events.publisher",
    "EventStore": "sidecar.postgres.store",
    "EventTypes": "sidecar.events.types",
    "MeteredPool": "sidecar.postgres.pool",
    "Projection": "sidecar.projections.projection",
    "PublishResult": "sidecar.events.publisher",
    "RecordedEvent": "sidecar.events.record",
    "SidecarError": "sidecar.errors",
    "agent": "sidecar.wiring.application_agent",
    "instrument": "sidecar.wiring.instrument",
    "uninstrument": "sidecar.wiring.instrument",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
