"""Where the process is in its life."""

from enum import StrEnum


class Phase(StrEnum):
    """The states of a process; `HELD` is up for reading its report, and never ready."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    HELD = "held"
