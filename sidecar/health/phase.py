"""Where the process is in its life, and what a draining one tells the load balancer."""

from enum import StrEnum


class Phase(StrEnum):
    """The states of a process; `HELD` is up for reading its report, and never ready."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    HELD = "held"


class DrainReadiness(StrEnum):
    """The two schools of draining.

    `FAIL` asks load balancers to look elsewhere at once. `KEEP` is for platforms that take a
    terminating pod out themselves, and where red readiness only cuts its last requests
    (KEP-1669).
    """

    FAIL = "fail"
    KEEP = "keep"
