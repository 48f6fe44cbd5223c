"""The first dashboard: is anything wrong, and where does one look next?"""

from dashboards import thresholds
from dashboards.board import Board, Row
from dashboards.panel import Color, Kind, Link, Panel, Query, State
from dashboards.promql import (
    SERVICE,
    fold,
    highest,
    of_projection,
    of_target,
    per_second,
    recorded,
    series,
)

# Draining counts double, so that the one number tells all three.
_READINESS = (
    f"{fold('min', series('sidecar_ready'), 'instance')}"
    f" + 2 * {highest(series('sidecar_draining'), 'instance')}"
)
# The watchdog belongs to no service, and stands in the table as proof that alerting works.
_WHOSE = ", ".join(f'{label}=~"${label}|"' for label in SERVICE)
_ALERTS = f'ALERTS{{{_WHOSE}, alertname=~"Sidecar.+", alertstate="firing"}}'
_FAILED = "service:sidecar_delivery_failures:ratio_rate"
_STALE = "service_projection:sidecar_projection_stale:ratio"
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
            queries=(Query(fold("min", of_target("up"), "instance"), "{{instance}}"),),
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
            about="Whether PostgreSQL answers any sidecar of the service and takes writes.",
            unit="none",
            queries=(
                Query(
                    highest(
                        series("sidecar_check_status", 'check="postgres"', 'status=~"pass|warn"')
                    )
                ),
            ),
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
                    highest(_ALERTS, "alertname", "severity", "projection"),
                    "{{alertname}}",
                ),
            ),
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
            title="Deliveries that fail",
            about=(
                "Share of deliveries to handlers and projections that failed for good. The line is "
                "the objective: 99.9% succeed."
            ),
            unit="percentunit",
            queries=tuple(
                Query(recorded(_FAILED + window), f"over {window}") for window in ("5m", "1h")
            ),
            limits=((thresholds.PUBLISH_BUDGET_RATIO, Color.BAD),),
            top=2 * thresholds.PUBLISH_BUDGET_RATIO,
        ),
        Panel(
            id=602,
            kind=Kind.LINES,
            title="Time that projections are late",
            about=(
                "Share of time in which a projection's lag is above the limit. The line is the "
                "objective: within the limit for 99% of the time."
            ),
            unit="percentunit",
            queries=tuple(
                Query(_stale(window), f"{{{{projection}}}} over {window}")
                for window in ("5m", "1h")
            ),
            limits=((thresholds.FRESHNESS_BUDGET_RATIO, Color.BAD),),
            top=2 * thresholds.FRESHNESS_BUDGET_RATIO,
        ),
        Panel(
            id=603,
            kind=Kind.NUMBER,
            title="Budget spent",
            about=(
                "What failed deliveries and late time of 30 days have taken of the budgets of 30 "
                "days; above 100% the objective is missed. Prometheus must keep numbers as long."
            ),
            unit="percentunit",
            queries=(
                Query(
                    f"{recorded(_FAILED + '30d')} / {thresholds.PUBLISH_BUDGET_RATIO}", "deliveries"
                ),
                Query(
                    f"{highest(_stale('30d'))} / {thresholds.FRESHNESS_BUDGET_RATIO}", "freshness"
                ),
            ),
            alerts=("SidecarPublishBudgetBurnSlow", "SidecarFreshnessBudgetBurnSlow"),
            limits=((thresholds.BUDGET_SPENT_SOON_RATIO, Color.WARNING), (1, Color.BAD)),
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
                    "topk(10, "
                    f"{highest(of_projection('sidecar_projection_lag_seconds'), 'projection')})",
                    "{{projection}}",
                ),
            ),
            alerts=("SidecarProjectionLagHigh", "SidecarProjectionStalled"),
            limits=((thresholds.LAG_SECONDS, Color.WARNING),),
            links=(
                Link(
                    "This projection",
                    f"{_BOARD}&${{cluster:queryparam}}&${{namespace:queryparam}}"
                    "&var-service=${__data.fields.service}"
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
            queries=(Query(per_second(of_projection("sidecar_projection_events_total"))),),
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
