"""Where the process is in its life."""

from enum import StrEnum


class Phase(StrEnum):
    """The states of a process; `HELD` is up for reading its report, and never ready."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    HELD = "held"


class Stage(StrEnum):
    """What a process that is starting is busy with."""

    CONFIGURATION = "configuration"
    DATABASE = "database"
    WORKERS = "workers"
