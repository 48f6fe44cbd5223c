"""The first dashboard: everything about one service on one page."""

from dashboards.board import Board
from dashboards.configuration import CONFIGURATION
from dashboards.health import HEALTH
from dashboards.pool import POOL
from dashboards.projection import PROJECTIONS
from dashboards.publisher import PUBLISHER

OVERVIEW = Board(
    uid="sidecar",
    title="Sidecar",
    about=(
        "Read models, publisher, pools and configuration of an event-sourced service, "
        "as its sidecar sees them."
    ),
    rows=(HEALTH, PROJECTIONS, PUBLISHER, POOL, CONFIGURATION),
)
