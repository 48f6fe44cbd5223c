"""The incidents: one row each, kept beside the code that makes them happen."""

from typing import Final

from tests.incidents.drills.drill import Drill
from tests.incidents.drills.faults import (
    alerting,
    application,
    clock,
    deployment,
    disk,
    log,
    lost_end,
    network,
    pause,
    postgres,
    projection,
    secret,
    sidecar,
    telemetry,
    transient,
)

DRILLS: Final[tuple[Drill, ...]] = (
    *projection.DRILLS,
    *deployment.DRILLS,
    *application.DRILLS,
    *postgres.DRILLS,
    *sidecar.DRILLS,
    *telemetry.DRILLS,
    *network.DRILLS,
    *transient.DRILLS,
    *disk.DRILLS,
    *pause.DRILLS,
    *clock.DRILLS,
    *log.DRILLS,
    *lost_end.DRILLS,
    *secret.DRILLS,
    *alerting.DRILLS,
)
QUICK: Final = frozenset({"one poisoned stream", "PostgreSQL down", "sidecar killed"})
"""What a plain run of the tests makes; `--drills all` makes the others, too."""
