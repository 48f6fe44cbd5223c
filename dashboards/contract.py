"""Writes `otel/contract.yaml`, a semantic-convention registry, from what the code declares."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from textwrap import indent
from typing import Any, Final

import yaml

from sidecar.telemetry.attribute import ATTRIBUTES, PROCESS, SERVICE, Attribute
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.identity import SCHEMA_URL
from sidecar.telemetry.log_event import LOG_EVENTS, LogEvent
from sidecar.telemetry.metric import INSTRUMENTS
from sidecar.telemetry.span import EXCEPTION_ATTRIBUTES, SPANS, SpanShape

_HEAD: Final = """\
# Every metric, span and log event, shaped as an OpenTelemetry semantic-convention registry.
# Written by `make dashboards` from the declarations in sidecar/telemetry; change those.
#
# Beside the registry's own keys each metric carries `annotations`:
#   prometheus  its name at /metrics
#   process     who emits it: the probe process, its workers, the application
#   bound       the most series it can have in one exposition, before `process` multiplies it
# and each log event `level`, the levels that its line can have, and `attributes`, the further keys.
# Each series at /metrics has, besides its attributes, the labels of the group `sidecar.exposition`.
# Never an attribute of a metric: stream or event id, position, SQL text, message of an exception.
# Never anywhere: the value of a secret; messages and tracebacks of exceptions are masked.
name: sidecar
"""
_CONVENTIONS: Final = ("messaging.", "db.", "error.")
_WIDTH: Final = 98
_DEVELOPMENT: Final = "development"
_OF_WORK: Final = ["worker", "app"]

Entry = dict[str, Any]


class _Writer(yaml.SafeDumper):
    """Writes leaves in one line, indents lists, and repeats instead of anchoring."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        """Repeat what stands twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's
        """Indent a list below its key."""
        super().increase_indent(flow, indentless=False)


def write_contract() -> str:
    """Give the file's text."""
    version = SCHEMA_URL.rsplit("/", maxsplit=1)[-1]
    groups = "\n".join(indent(_write([group]), "  ") for group in _groups())
    return f"{_HEAD}semconv_version: {version}\nschema_url: {SCHEMA_URL}\n\ngroups:\n{groups}"


def _write(value: object) -> str:
    return yaml.dump(
        value,
        Dumper=_Writer,
        sort_keys=False,
        default_flow_style=None,
        width=_WIDTH,
        allow_unicode=True,
    )


def _groups() -> Iterator[Entry]:
    ours = [each for each in _shared() if not each.startswith(_CONVENTIONS)]
    conventional = [each for each in _shared() if each.startswith(_CONVENTIONS)]
    yield _attribute_group(
        "registry.sidecar", "Attributes that OpenTelemetry has no name for.", ours
    )
    yield _attribute_group(
        "registry.semconv",
        "Attributes of the semantic conventions, restated with the values that the sidecar uses.",
        conventional,
    )
    yield _attribute_group(
        "sidecar.exception",
        "What the `exception` event of a span carries beside the conventions' own attributes.",
        EXCEPTION_ATTRIBUTES,
    )
    yield _attribute_group(
        "sidecar.exposition",
        "Added to every series where the probe process merges the numbers of all processes.",
        (SERVICE, PROCESS),
    )
    yield from map(_metric, INSTRUMENTS)
    yield from map(_span, SPANS)
    yield from map(_log_event, sorted(LOG_EVENTS, key=lambda event: event.name))


def _shared() -> list[Attribute]:
    """Give the attributes that signals refer to: those of whose name there is only one."""
    return [each for each in ATTRIBUTES if ATTRIBUTES.count(each) == 1]


def _attribute_group(name: str, brief: str, attributes: Iterable[Attribute]) -> Entry:
    shared = name.startswith("registry.")
    return {
        "id": name,
        "type": "attribute_group",
        "brief": brief,
        "attributes": [_define(each) if shared else {"ref": str(each)} for each in attributes],
    }


def _define(attribute: Attribute) -> Entry:
    entry: Entry = {"id": str(attribute), "type": _type(attribute), "brief": attribute.brief}
    entry["stability"] = attribute.stability
    if attribute.examples:
        entry["examples"] = list(attribute.examples)
    return entry


def _type(attribute: Attribute) -> str | Entry:
    if attribute.members:
        members = [
            {"id": value, "value": value, "brief": meaning, "stability": _DEVELOPMENT}
            for value, meaning in attribute.members.items()
        ]
        return {"members": members}
    return "int" if all(isinstance(each, int) for each in attribute.examples) else "string"


def _used(
    attributes: Collection[Attribute], conditions: Mapping[Attribute, str]
) -> dict[str, list[Entry]]:
    """Give the attributes of a signal as references, or defined where the name has two meanings."""
    entries: list[Entry] = []
    for each in attributes:
        level: str | Entry = "required"
        if each in conditions:
            level = {"conditionally_required": conditions[each]}
        if each in _shared():
            entries.append({"ref": str(each), "requirement_level": level})
        else:
            entries.append({**_define(each), "requirement_level": level})
    return {"attributes": entries} if entries else {}


def _metric(instrument: Instrument) -> Entry:
    return {
        "id": f"metric.{instrument.name}",
        "type": "metric",
        "metric_name": instrument.name,
        "instrument": instrument.kind.value,
        "unit": instrument.unit,
        "brief": instrument.description,
        "stability": _DEVELOPMENT,
        **_used(instrument.attributes, instrument.conditions),
        "annotations": {
            "prometheus": instrument.prometheus_name,
            "process": list(instrument.processes),
            "bound": instrument.bound,
        },
    }


def _span(span: SpanShape) -> Entry:
    return {
        "id": f"span.sidecar.{span.operation}",
        "type": "span",
        "span_kind": span.kind,
        "brief": span.brief,
        "note": span.note,
        "stability": _DEVELOPMENT,
        **_used(span.attributes, span.conditions),
        "annotations": {"name": f"{span.operation} {{{span.named_by}}}", "process": _OF_WORK},
    }


def _log_event(event: LogEvent) -> Entry:
    return {
        "id": f"event.{event.name}",
        "type": "event",
        "name": event.name,
        "brief": event.brief,
        "stability": _DEVELOPMENT,
        "annotations": {"level": list(event.levels), "attributes": list(event.attributes)},
    }
