"""What happened when: marks that every dashboard lays over its graphs."""

from grafana_foundation_sdk.builders import dashboard

from dashboards.panel import SOURCE, Color
from dashboards.promql import fold, highest, recorded


def annotations() -> tuple[dashboard.AnnotationQuery, ...]:
    """Build the marks: firing alerts, deployments and rebuilds.

    None selects an instance: alerts about projections carry none, and a deployment replaces it.
    """
    versions = fold("count", recorded("sidecar_build_info"), "version")
    before = fold("count", f"{recorded('sidecar_build_info')} offset 2m", "version")
    rebuilding = recorded("sidecar_projection_rebuild", 'status=~"running|in_place"')
    alerts = recorded("ALERTS", 'alertname=~"Sidecar.+"', 'alertstate="firing"')
    return (
        _mark("Firing alerts", Color.BAD, alerts),
        _mark("Deployments", Color.BUSY, f"{versions} unless {before}"),
        _mark(
            "Rebuilds",
            Color.UNKNOWN,
            f"{highest(rebuilding, 'projection')} == 1",
        ),
    )


def _mark(name: str, color: Color, expr: str) -> dashboard.AnnotationQuery:
    query = dashboard.AnnotationQuery().name(name).datasource(SOURCE)
    return query.enable(enable=True).icon_color(color).expr(expr)
