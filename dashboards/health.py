"""Are the watchers themselves well?"""

from dashboards import thresholds
from dashboards.board import Row
from dashboards.panel import Color, Kind, Panel, Query, State
from dashboards.promql import coded, highest, of_target, per_second, rises, series

_CHECK_STATES = (
    State(0, "pass", Color.GOOD),
    State(1, "warn", Color.WARNING),
    State(2, "fail", Color.BAD),
    State(3, "unknown", Color.UNKNOWN),
)

HEALTH = Row(
    id=100,
    title="Health",
    panels=(
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
            alerts=("SidecarNotReady",),
            states=_CHECK_STATES,
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
            limits=((thresholds.WORKER_RESTARTS, Color.WARNING),),
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
            alerts=("SidecarNotReady",),
            limits=(
                (thresholds.LOOP_LAG_HIGH_SECONDS, Color.WARNING),
                (thresholds.LOOP_LAG_SECONDS, Color.BAD),
            ),
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
        Panel(
            id=107,
            kind=Kind.LINES,
            title="Series told at a scrape",
            about="Series that each sidecar tells. A fall to a few is a fault.",
            unit="short",
            queries=(
                Query(
                    highest(of_target("scrape_samples_scraped"), "instance"), "{{instance}} series"
                ),
            ),
        ),
        Panel(
            id=110,
            kind=Kind.LINES,
            title="Time for a scrape",
            about="How long Prometheus waits for each sidecar's numbers.",
            unit="s",
            queries=(
                Query(highest(of_target("scrape_duration_seconds"), "instance"), "{{instance}}"),
            ),
            alerts=("SidecarTelemetryAbsent", "SidecarDown"),
            limits=((1, Color.WARNING),),
        ),
    ),
)
