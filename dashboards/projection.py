"""Are the read models true, and how far behind?"""

import json

from dashboards import thresholds
from dashboards.board import Row
from dashboards.panel import Color, Kind, Link, Panel, Query, State
from dashboards.promql import coded, highest, of_projection, per_second, quantile, rises, series

_STATES = (
    State(0, "caught_up", Color.GOOD),
    State(1, "running", Color.GOOD),
    State(3, "paused", Color.BUSY),
    State(4, "unowned", Color.WARNING),
    State(5, "stalled", Color.BAD),
    State(6, "failed", Color.BAD),
)
_REBUILDS = (
    State(0, "none", Color.GOOD),
    State(1, "running", Color.BUSY),
    State(2, "halted", Color.WARNING),
    State(3, "in_place", Color.WARNING),
)
_GROUP = "messaging_consumer_group_name"
_BATCHES = series("messaging_process_duration_seconds_bucket", f'{_GROUP}=~"$projection"')


def _traces(projection: str) -> Link:
    """Lead to the failed batches of a projection, given Grafana's name for it."""
    query = f'{{ span.messaging.consumer.group.name = "{projection}" && status = error }}'
    pane = {
        "datasource": "${traces}",
        "queries": [{"refId": "A", "queryType": "traceql", "query": query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = json.dumps({"traces": pane})
    return Link("Traces of its failures", f"/explore?schemaVersion=1&panes={panes}")


def _age(metric: str) -> str:
    return f"time() - {highest(of_projection(metric), 'projection')}"


PROJECTIONS = Row(
    id=200,
    title="Projections",
    panels=(
        Panel(
            id=201,
            kind=Kind.BARS,
            title="Failures",
            about=(
                "Failures to apply an event, by exception and by what was done about it. "
                "The first failure of a new kind starts its series and makes no bar: "
                "dead letters show it."
            ),
            unit="short",
            queries=(
                Query(
                    rises(
                        of_projection("sidecar_projection_failures_total"),
                        "projection",
                        "error_type",
                        "action",
                    ),
                    "{{projection}} {{error_type}} {{action}}",
                ),
            ),
            links=(_traces("${__field.labels.projection}"),),
            limits=((1, Color.WARNING),),
        ),
        Panel(
            id=202,
            kind=Kind.LINES,
            title="Dead letters",
            about="Events that could not be applied, streams whose later events wait for them, and "
            "events that a release which does not handle them passed over.",
            unit="short",
            queries=(
                Query(
                    highest(of_projection("sidecar_dead_letters"), "projection"),
                    "{{projection}} dead letters",
                ),
                Query(
                    highest(of_projection("sidecar_parked_streams"), "projection"),
                    "{{projection}} parked streams",
                ),
                Query(
                    highest(of_projection("sidecar_projection_passed_over_events"), "projection"),
                    "{{projection}} passed over",
                ),
            ),
            limits=((1, Color.WARNING),),
        ),
        Panel(
            id=203,
            kind=Kind.STATES,
            title="Status",
            about="State of each projection's live copy over time.",
            unit="none",
            queries=(
                Query(
                    coded(
                        "sidecar_projection_status",
                        _STATES,
                        'projection=~"$projection"',
                        by=("projection",),
                    ),
                    "{{projection}}",
                ),
            ),
            states=_STATES,
        ),
        Panel(
            id=204,
            kind=Kind.LINES,
            title="Lag in seconds",
            about="Age of the oldest event not yet in the read model; 0 when caught up.",
            unit="s",
            queries=(
                Query(
                    highest(of_projection("sidecar_projection_lag_seconds"), "projection"),
                    "{{projection}}",
                ),
            ),
            limits=((thresholds.LAG_SECONDS, Color.WARNING),),
        ),
        Panel(
            id=205,
            kind=Kind.LINES,
            title="Lag in events",
            about="Events between the safe head and the projection's checkpoint.",
            unit="short",
            queries=(
                Query(
                    highest(of_projection("sidecar_projection_lag_events"), "projection"),
                    "{{projection}}",
                ),
            ),
        ),
        Panel(
            id=206,
            kind=Kind.LINES,
            title="Since the last poll",
            about=(
                "How long ago each projection's loop finished a poll, and moved its checkpoint. "
                "Without events only the poll must stay low."
            ),
            unit="s",
            queries=(
                Query(
                    _age("sidecar_projection_heartbeat_timestamp_seconds"), "{{projection}} poll"
                ),
                Query(
                    _age("sidecar_projection_progress_timestamp_seconds"), "{{projection}} progress"
                ),
            ),
            limits=((thresholds.LOOP_SILENCE_SECONDS, Color.BAD),),
        ),
        Panel(
            id=207,
            kind=Kind.LINES,
            title="Events applied",
            about="Events that each projection applied in a second.",
            unit="eps",
            queries=(
                Query(
                    per_second(of_projection("sidecar_projection_events_total"), "projection"),
                    "{{projection}}",
                ),
            ),
            alerts=("SidecarProjectionLagGrowing",),
        ),
        Panel(
            id=208,
            kind=Kind.LINES,
            title="Time for a batch",
            about="How long a batch of events takes, from reading to commit.",
            unit="s",
            queries=(
                Query(quantile(0.5, _BATCHES, _GROUP), f"{{{{{_GROUP}}}}} p50"),
                Query(quantile(0.95, _BATCHES, _GROUP), f"{{{{{_GROUP}}}}} p95"),
                Query(quantile(0.99, _BATCHES, _GROUP), f"{{{{{_GROUP}}}}} p99"),
            ),
            alerts=("SidecarProjectionLagHigh",),
            links=(_traces(f"${{__field.labels.{_GROUP}}}"),),
        ),
        Panel(
            id=209,
            kind=Kind.LINES,
            title="Safe head held",
            about=(
                "How long the safe head has waited at a gap. Projections cannot pass it: "
                "look for a transaction left open in PostgreSQL."
            ),
            unit="s",
            queries=(Query(highest(series("sidecar_store_hold_duration_seconds")), "held"),),
            limits=((thresholds.HELD_SECONDS, Color.BAD),),
        ),
        Panel(
            id=210,
            kind=Kind.STATES,
            title="Rebuild",
            about="Whether a new copy is filled, had to stop, or the live one is filled again.",
            unit="none",
            queries=(
                Query(
                    coded(
                        "sidecar_projection_rebuild",
                        _REBUILDS,
                        'projection=~"$projection"',
                        by=("projection",),
                    ),
                    "{{projection}}",
                ),
            ),
            states=_REBUILDS,
        ),
    ),
)
