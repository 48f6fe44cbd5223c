"""May traffic come here, and are the watchers themselves well?"""

from dashboards.board import Row
from dashboards.panel import Color, Kind, Panel, Query, State
from dashboards.promql import coded, highest, per_second, rises, series

_CHECK_STATES = (
    State(0, "pass", Color.GOOD),
    State(1, "warn", Color.WARNING),
    State(2, "fail", Color.BAD),
    State(3, "unknown", Color.UNKNOWN),
)
# Draining counts double, so that the one number tells all three.
_READINESS = (
    f"min by (instance) ({series('sidecar_ready')})"
    f" + 2 * {highest(series('sidecar_draining'), 'instance')}"
)

HEALTH = Row(
    id=100,
    title="Health",
    panels=(
        Panel(
            id=101,
            kind=Kind.NUMBER,
            title="Sidecars answering",
            about="Whether Prometheus can scrape each sidecar.",
            unit="none",
            queries=(Query(f"min by (instance) ({series('up')})", "{{instance}}"),),
            alert="SidecarDown",
            states=(State(0, "down", Color.BAD), State(1, "up", Color.GOOD)),
            width=4,
        ),
        Panel(
            id=102,
            kind=Kind.STATES,
            title="Readiness",
            about="What /ready says: traffic is welcome, not welcome, or going away on purpose.",
            unit="none",
            queries=(Query(_READINESS, "{{instance}}"),),
            alert="SidecarNotReady",
            states=(
                State(0, "not ready", Color.BAD),
                State(1, "ready", Color.GOOD),
                State(2, "draining", Color.BUSY),
                State(3, "draining, ready", Color.BUSY),
            ),
            width=10,
        ),
        Panel(
            id=103,
            kind=Kind.STATES,
            title="Checks",
            about="Outcome of each health check; unknown means that no fresh answer came in time.",
            unit="none",
            queries=(
                Query(
                    coded("sidecar_check_status", _CHECK_STATES, by=("instance", "check")),
                    "{{instance}} {{check}}",
                ),
            ),
            alert="SidecarNotReady",
            states=_CHECK_STATES,
            width=10,
        ),
        Panel(
            id=104,
            kind=Kind.BARS,
            title="Worker restarts",
            about="Workers that the supervisor started again, because they ended or hung.",
            unit="short",
            queries=(
                Query(
                    rises(series("sidecar_worker_restarts_total"), "instance", "worker", "reason"),
                    "{{instance}} {{worker}} {{reason}}",
                ),
            ),
            alert="SidecarWorkerRestarting",
            limits=((3, Color.WARNING),),
        ),
        Panel(
            id=105,
            kind=Kind.LINES,
            title="Event loop lag",
            about=(
                "How late each process's event loop runs what is due. "
                "A worker above a second is held up by a handler that blocks."
            ),
            unit="s",
            queries=(
                Query(
                    highest(series("sidecar_loop_lag_seconds"), "instance", "process"),
                    "{{instance}} {{process}}",
                ),
            ),
            limits=((0.1, Color.WARNING), (1, Color.BAD)),
        ),
        Panel(
            id=106,
            kind=Kind.LINES,
            title="Numbers that were lost",
            about=(
                "Telemetry dropped by a full queue, and processes whose numbers the sidecar could "
                "not read. Above 0, what the other panels show has holes."
            ),
            unit="ops",
            queries=(
                Query(
                    per_second(series("sidecar_telemetry_dropped_total"), "process", "signal"),
                    "{{process}} {{signal}} dropped",
                ),
                Query(
                    per_second(series("sidecar_agent_scrape_failures_total"), "instance", "target"),
                    "{{instance}} {{target}} not read",
                ),
            ),
            limits=((0.1, Color.WARNING),),
        ),
    ),
)
