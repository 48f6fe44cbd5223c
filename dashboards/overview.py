"""The first dashboard: is anything wrong, and where does one look next?"""

from dashboards import thresholds
from dashboards.board import Board, Row
from dashboards.panel import Color, Kind, Link, Panel, Query, State
from dashboards.promql import highest, of_projection, per_second, recorded, series

# Draining counts double, so that the one number tells all three.
_READINESS = (
    f"min by (instance) ({series('sidecar_ready')})"
    f" + 2 * {highest(series('sidecar_draining'), 'instance')}"
)
# The watchdog belongs to no job, and stands in the table as proof that alerting works.
_ALERTS = 'ALERTS{job=~"$job|", alertname=~"Sidecar.+", alertstate="firing"}'
_DELIVERED = "job:sidecar_delivery_failures:ratio_rate"
_STALE = "job_projection:sidecar_projection_stale:ratio"
_PROJECTION = 'projection=~"$projection"'
_YES = (State(0, "no", Color.BAD), State(1, "yes", Color.GOOD))
_BOARD = "/d/sidecar-projection?${datasource:queryparam}&${__url_time_range}"


def _stale(window: str) -> str:
    return recorded(f"{_STALE}{window}", _PROJECTION)


NOW = Row(
    id=100,
    title="Now",
    panels=(
        Panel(
            id=101,
            kind=Kind.NUMBER,
            title="Sidecars answering",
            about="Whether Prometheus can scrape each sidecar.",
            unit="none",
            queries=(Query(f"min by (instance) ({series('up')})", "{{instance}}"),),
            alerts=("SidecarDown",),
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
            alerts=("SidecarNotReady",),
            states=(
                State(0, "not ready", Color.BAD),
                State(1, "ready", Color.GOOD),
                State(2, "draining", Color.BUSY),
                State(3, "draining, ready", Color.BUSY),
            ),
            width=10,
        ),
        Panel(
            id=108,
            kind=Kind.NUMBER,
            title="PostgreSQL reached",
            about="Whether any sidecar of the job has an answer from PostgreSQL.",
            unit="none",
            queries=(
                Query(
                    highest(
                        series("sidecar_check_status", 'check="postgres"', 'status=~"pass|warn"'),
                        "job",
                    ),
                    "{{job}}",
                ),
            ),
            alerts=("SidecarStoreUnreachable", "SidecarStoreSlow"),
            states=_YES,
            width=4,
        ),
        Panel(
            id=109,
            kind=Kind.ROWS,
            title="Firing alerts",
            about="What fires now. SidecarWatchdog always does: it proves that alerting works.",
            unit="none",
            queries=(
                Query(
                    f"max by (alertname, severity, projection) ({_ALERTS})",
                    "{{alertname}}",
                ),
            ),
            alerts=("SidecarWatchdog",),
            width=6,
        ),
    ),
)
OBJECTIVES = Row(
    id=600,
    title="Objectives",
    panels=(
        Panel(
            id=601,
            kind=Kind.LINES,
            title="Deliveries that succeed",
            about="Share of deliveries to handlers and projections that succeed; objective 99.9%.",
            unit="percentunit",
            queries=tuple(
                Query(f"1 - {recorded(_DELIVERED + window)}", f"{{{{job}}}} over {window}")
                for window in ("5m", "1h")
            ),
            alerts=("SidecarPublishBudgetBurn", "SidecarPublishBudgetBurnSlow"),
        ),
        Panel(
            id=602,
            kind=Kind.LINES,
            title="Time that projections are fresh",
            about="Share of time in which a projection's lag is within the limit; objective 99%.",
            unit="percentunit",
            queries=tuple(
                Query(f"1 - {_stale(window)}", f"{{{{projection}}}} over {window}")
                for window in ("5m", "1h")
            ),
            alerts=("SidecarFreshnessBudgetBurn", "SidecarFreshnessBudgetBurnSlow"),
        ),
        Panel(
            id=603,
            kind=Kind.NUMBER,
            title="Budget left",
            about="What 3 days of failed deliveries and of late time leave of their budgets.",
            unit="percentunit",
            queries=(
                Query(
                    f"1 - {recorded(_DELIVERED + '3d')} / {thresholds.PUBLISH_BUDGET_RATIO}",
                    "{{job}} deliveries",
                ),
                Query(
                    f"1 - max by (job) ({_stale('3d')}) / {thresholds.FRESHNESS_BUDGET_RATIO}",
                    "{{job}} freshness",
                ),
            ),
            alerts=("SidecarPublishBudgetBurnSlow", "SidecarFreshnessBudgetBurnSlow"),
        ),
    ),
)
WORK = Row(
    id=700,
    title="Work",
    panels=(
        Panel(
            id=701,
            kind=Kind.ROWS,
            title="Worst lag",
            about="The ten projections that are furthest behind; a click leads to their dashboard.",
            unit="s",
            queries=(
                Query(
                    "topk(10, max by (job, projection) "
                    f"({of_projection('sidecar_projection_lag_seconds')}))",
                    "{{projection}}",
                ),
            ),
            alerts=("SidecarProjectionLagHigh", "SidecarProjectionStalled"),
            limits=((thresholds.LAG_SECONDS, Color.WARNING),),
            links=(
                Link(
                    "This projection",
                    f"{_BOARD}&var-job=${{__data.fields.job}}"
                    "&var-projection=${__data.fields.projection}",
                ),
            ),
            width=12,
        ),
        Panel(
            id=702,
            kind=Kind.LINES,
            title="All events applied",
            about="Events that all projections together apply in a second.",
            unit="eps",
            queries=(
                Query(
                    per_second(of_projection("sidecar_projection_events_total"), "job"), "{{job}}"
                ),
            ),
            alerts=("SidecarProjectionLagGrowing",),
            width=12,
        ),
    ),
)

OVERVIEW = Board(
    uid="sidecar",
    title="Sidecar",
    about="Whether an event-sourced service and its read models keep what was promised.",
    rows=(NOW, OBJECTIVES, WORK),
)
