"""Closed sets of values that a setting can take."""

from enum import StrEnum


class OnInvalid(StrEnum):
    """What `serve` does when the configuration is refused."""

    EXIT = "exit"
    HOLD = "hold"


class DrainReadiness(StrEnum):
    """The two schools of draining: what `/ready` answers meanwhile.

    `FAIL` asks load balancers to look elsewhere at once. `KEEP` is for platforms that take a
    terminating pod out themselves, and where red readiness only cuts its last requests
    (KEP-1669).
    """

    FAIL = "fail"
    KEEP = "keep"


class LogFormat(StrEnum):
    """How log lines look; `auto` is text on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """Names as the `logging` module takes them."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
