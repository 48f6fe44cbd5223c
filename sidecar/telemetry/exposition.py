"""The numbers of this process as text, for Prometheus or for the probe process."""

import math
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from sidecar.telemetry.text_parser import Family, write_label

PLAIN: Final = CONTENT_TYPE_PLAIN_0_0_4
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render_registry(registry: CollectorRegistry) -> str:
    """Return the registry as Prometheus text, which is what agents speak; asks every reader."""
    return _write_plain(read_registry(registry)).decode()


def read_registry(registry: CollectorRegistry, origin: str = "") -> list[Family]:
    """Return the registry's families, each sample with the labels of `write_origin`, if any.

    The library's own writer takes three times as long over labels: it validates again the names
    that the exporter has just made.
    """
    return [_write_family(metric, origin) for metric in registry.collect() if metric.samples]


def _write_family(metric: Metric, origin: str) -> Family:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    family = Family(
        name, metric.type, metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
    )
    for sample in metric.samples:
        labels = [write_label(key, value) for key, value in sample.labels.items()]
        if origin:
            labels.append(origin)
        head = f"{sample.name}{{{','.join(labels)}}}" if labels else sample.name
        family.lines.append(f"{head} {_write_number(sample.value)}")
    return family


def _write_number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"


def write(families: list[Family], accept: str | None) -> tuple[bytes, str]:
    """Return families as text and its content type, chosen by an `Accept` header."""
    if wants_openmetrics(accept):
        return _write_openmetrics(families), OPENMETRICS
    return _write_plain(families), PLAIN


def wants_openmetrics(accept: str | None) -> bool:
    """Return True when an `Accept` header prefers OpenMetrics, which Prometheus itself does."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for choice in (accept or "").lower().split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _read_weight(parameters))
    openmetrics, plain = weights.values()
    return openmetrics > 0 and openmetrics >= plain


def _write_plain(families: list[Family]) -> bytes:
    return _write(families, lambda family: (family.name, family.type, family.help))


def _write_openmetrics(families: list[Family]) -> bytes:
    return _write(families, _describe_for_openmetrics, "# EOF")


def _write(
    families: list[Family], describe: Callable[[Family], tuple[str, str, str]], *end: str
) -> bytes:
    parts: list[str] = []
    for family in families:
        name, kind, help_text = describe(family)
        parts += (f"# HELP {name} {help_text}", f"# TYPE {name} {kind}")
        parts += family.lines
    return "\n".join((*parts, *end, "")).encode()


def _describe_for_openmetrics(family: Family) -> tuple[str, str, str]:
    """A counter is named without its suffix, and needs one; `untyped` is called unknown."""
    name, kind, help_text = family.name, family.type, family.help.replace('"', r"\"")
    if kind == "counter" and name.endswith("_total"):
        return name.removesuffix("_total"), kind, help_text
    return name, "unknown" if kind in {"counter", "untyped"} else kind, help_text


def _read_weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
