"""Closed sets of values that a setting can take."""

from enum import StrEnum


class OnInvalid(StrEnum):
    """What `serve` does when the configuration is refused."""

    EXIT = "exit"
    HOLD = "hold"


class DrainReadiness(StrEnum):
    """What `/ready` answers while draining."""

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
