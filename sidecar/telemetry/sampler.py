"""Which traces are kept: `OTEL_TRACES_SAMPLER` and its argument."""

import logging
from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)

_FIXED: Final[Mapping[str, Sampler]] = {
    "always_on": ALWAYS_ON,
    "always_off": ALWAYS_OFF,
    "parentbased_always_on": DEFAULT_ON,
    "parentbased_always_off": DEFAULT_OFF,
}
_BY_RATIO: Final = {
    "traceidratio": TraceIdRatioBased,
    "parentbased_traceidratio": ParentBasedTraceIdRatio,
}

logger = logging.getLogger(__name__)


def choose_sampler(environ: Mapping[str, str]) -> Sampler:
    """Return the sampler that was asked for; where it is not offered, log that and keep all."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    if name in _FIXED:
        return _FIXED[name]
    if name in _BY_RATIO:
        return _BY_RATIO[name](_read_ratio(environ))
    _warn("OTEL_TRACES_SAMPLER", name, ", ".join((*_FIXED, *_BY_RATIO)))
    return DEFAULT_ON


def _read_ratio(environ: Mapping[str, str]) -> float:
    text = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    try:
        ratio = float(text or "1")
    except ValueError:
        ratio = -1.0
    if 0 <= ratio <= 1:
        return ratio
    _warn("OTEL_TRACES_SAMPLER_ARG", text, "a number from 0 to 1")
    return 1.0


def _warn(name: str, value: str, offered: str) -> None:
    logger.warning(
        "%s=%s is not offered; all traces are kept. Set it to one of: %s.",
        name,
        value,
        offered,
        extra={"event": "sidecar.telemetry.sampler_unknown"},
    )
