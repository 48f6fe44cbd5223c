"""Is the environment fit to run, and what runs there?"""

from dashboards.board import Row
from dashboards.panel import Color, Kind, Panel, Query
from dashboards.promql import fold, highest, series

_GRAVE = series("sidecar_config_findings", 'severity=~"error|refuse"')

CONFIGURATION = Row(
    id=500,
    title="Configuration",
    panels=(
        Panel(
            id=501,
            kind=Kind.NUMBER,
            title="Grave findings",
            about="Findings of severity error or refuse, for each instance.",
            unit="none",
            queries=(Query(fold("sum", _GRAVE, "instance"), "{{instance}}"),),
            alerts=("SidecarConfigInvalid",),
            limits=((1, Color.BAD),),
            width=6,
        ),
        Panel(
            id=502,
            kind=Kind.ROWS,
            title="Findings",
            about="Every finding of the configuration rules; /config-report has the hints.",
            unit="none",
            queries=(
                Query(
                    highest(series("sidecar_config_findings"), "instance", "id", "severity")
                    + " > 0",
                    "{{id}}",
                ),
            ),
            limits=((1, Color.WARNING),),
            width=10,
        ),
        Panel(
            id=503,
            kind=Kind.ROWS,
            title="Versions",
            about="Version of the sidecar on each instance.",
            unit="none",
            queries=(
                Query(highest(series("sidecar_build_info"), "instance", "version"), "{{version}}"),
            ),
            alerts=("SidecarConfigInvalid",),
        ),
    ),
)
