"""The dashboards behind the first one, each about one part of the service."""

from dashboards.board import Board
from dashboards.configuration import CONFIGURATION
from dashboards.health import HEALTH
from dashboards.pool import POOL
from dashboards.projection import PROJECTIONS
from dashboards.publisher import PUBLISHER

PROJECTION = Board(
    uid="sidecar-projection",
    title="Sidecar projections",
    about="Each read model: how far behind, whether it moves, what it could not apply.",
    rows=(PROJECTIONS,),
)
PUBLISHING = Board(
    uid="sidecar-publisher",
    title="Sidecar publisher",
    about="What is published, how fast, and what becomes of it in handlers and in the store.",
    rows=(PUBLISHER,),
)
POOLS = Board(
    uid="sidecar-pool",
    title="Sidecar connection pools",
    about="Connections to PostgreSQL: how many, who waits for one, who keeps one.",
    rows=(POOL,),
)
SELF = Board(
    uid="sidecar-self",
    title="Sidecar itself",
    about="Whether the watcher is well: its checks, workers, telemetry and configuration.",
    rows=(HEALTH, CONFIGURATION),
)
