"""What is published, how fast, and what becomes of it in handlers and in the store?"""

from dashboards.board import Row
from dashboards.panel import Color, Kind, Panel, Query, State
from dashboards.promql import highest, per_second, quantile, rises, series

_PUBLISHES = series("sidecar_publish_duration_seconds_bucket")

PUBLISHER = Row(
    id=300,
    title="Publisher",
    panels=(
        Panel(
            id=301,
            kind=Kind.STACK,
            title="Events published",
            about="Events handed to the publisher in a second, by type.",
            unit="eps",
            queries=(
                Query(
                    per_second(series("sidecar_events_published_total"), "event_type"),
                    "{{event_type}}",
                ),
            ),
            alerts=("SidecarStoreIdle",),
        ),
        Panel(
            id=302,
            kind=Kind.LINES,
            title="Time to publish",
            about="How long one publish takes, all of its subscribers included.",
            unit="s",
            queries=(
                Query(quantile(0.5, _PUBLISHES, "process"), "{{process}} p50"),
                Query(quantile(0.95, _PUBLISHES, "process"), "{{process}} p95"),
                Query(quantile(0.99, _PUBLISHES, "process"), "{{process}} p99"),
            ),
            alerts=("SidecarPublishBudgetBurn",),
        ),
        Panel(
            id=303,
            kind=Kind.BARS,
            title="Handler failures",
            about=(
                "Events at which a handler failed for good, by exception. "
                "What a handler run by workers missed is a dead letter; what one missed to which "
                "the application publishes itself is in the log only."
            ),
            unit="short",
            queries=(
                Query(
                    rises(series("sidecar_handler_failures_total"), "handler", "error_type"),
                    "{{handler}} {{error_type}}",
                ),
            ),
            alerts=("SidecarPublishBudgetBurn",),
            limits=((1, Color.WARNING),),
        ),
        Panel(
            id=304,
            kind=Kind.LINES,
            title="Events handled",
            about="Events that each handler took in a second.",
            unit="eps",
            queries=(
                Query(per_second(series("sidecar_handler_events_total"), "handler"), "{{handler}}"),
            ),
            alerts=("SidecarPublishBudgetBurn",),
        ),
        Panel(
            id=305,
            kind=Kind.LINES,
            title="Store positions",
            about=(
                "Highest position, and the safe head, which projections read up to. "
                "A growing distance means that the safe head is held at a gap."
            ),
            unit="short",
            queries=(
                Query(highest(series("sidecar_store_head_position")), "head"),
                Query(highest(series("sidecar_store_safe_head_position")), "safe head"),
            ),
            alerts=("SidecarStoreHeld",),
        ),
        Panel(
            id=306,
            kind=Kind.LINES,
            title="Skipped positions",
            about="Positions given up, each on proof that no transaction can still fill it.",
            unit="short",
            queries=(Query(highest(series("sidecar_store_skipped_positions")), "skipped"),),
            alerts=("SidecarStoreHeld",),
        ),
        Panel(
            id=307,
            kind=Kind.STATES,
            title="Positions",
            about=(
                "Whether each new event gets a position that no projection has passed. "
                "If not, events are missed; the status page says why."
            ),
            unit="none",
            queries=(Query(highest(series("sidecar_store_unsafe"))),),
            states=(State(0, "safe", Color.GOOD), State(1, "unsafe", Color.BAD)),
            width=24,
        ),
    ),
)
