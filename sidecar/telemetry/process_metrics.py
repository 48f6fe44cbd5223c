"""What a process measures of itself: the lag of its event loop, and the failures of its agent."""

from collections.abc import Callable, Iterable

from sidecar.telemetry import attribute, metric
from sidecar.telemetry.setup import Telemetry


def observe_loop_lag(telemetry: Telemetry, read_seconds: Callable[[], float]) -> None:
    """Show how late the event loop is."""
    telemetry.observe({metric.LOOP_LAG: lambda: [(read_seconds(), {})]})


def observe_agent_failures(
    telemetry: Telemetry, read: Callable[[], Iterable[tuple[str, int]]]
) -> None:
    """Show how often each part of an agent failed, while its process went on."""
    telemetry.observe(
        {metric.AGENT_FAILURES: lambda: [(count, {attribute.PART: part}) for part, count in read()]}
    )
