"""What a metric is: its kind and names, who emits it, and how many series it can have."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sidecar.telemetry.attribute import Attribute


class Kind(StrEnum):
    """Instrument kinds as OpenTelemetry registries spell them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    UP_DOWN_COUNTER = "updowncounter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One metric.

    Attributes:
        name: As OpenTelemetry spells it.
        unit: In UCUM.
        description: One sentence, also the help text at `/metrics`.
        attributes: All that it may ever carry.
        processes: Kinds of process that emit it: `probe`, `worker`, `app`.
        conditions: When an attribute is there, for those that are not always there.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[Attribute, ...]
    processes: tuple[str, ...]
    conditions: Mapping[Attribute, str] = field(default_factory=dict)

    @property
    def prometheus_name(self) -> str:
        """The name of the family or, for a counter, of its samples."""
        name = self.name.replace(".", "_")
        if self.unit == "s" and not name.endswith("_seconds"):
            name += "_seconds"
        return f"{name}_total" if self.kind is Kind.COUNTER else name

    @property
    def bound(self) -> str:
        """The most series that one process can have of it, as a product."""
        factors = [
            f"({each.bound} + 1)" if each in self.conditions else each.bound
            for each in self.attributes
            if each.bound
        ]
        buckets = ["buckets"] if self.kind is Kind.HISTOGRAM else []
        return " x ".join([*factors, *buckets]) or "1"


@dataclass(frozen=True, slots=True)
class Emitter:
    """Declares what processes of some kinds emit, all of it with the same first attributes."""

    processes: tuple[str, ...]
    first: tuple[Attribute, ...] = ()

    def of(self, *first: Attribute) -> "Emitter":
        """Return one for what each of several things has."""
        return Emitter(self.processes, first)

    def gauge(self, name: str, unit: str, description: str, *more: Attribute) -> Instrument:
        """Declare a value of now."""
        return Instrument(name, Kind.GAUGE, unit, description, self.first + more, self.processes)

    def counter(self, name: str, unit: str, description: str, *more: Attribute) -> Instrument:
        """Declare a count since the start of the process."""
        return Instrument(name, Kind.COUNTER, unit, description, self.first + more, self.processes)

    def up_down_counter(
        self, name: str, unit: str, description: str, *more: Attribute
    ) -> Instrument:
        """Declare a count of now that may be added up over processes."""
        return replace(self.gauge(name, unit, description, *more), kind=Kind.UP_DOWN_COUNTER)

    def histogram(
        self,
        name: str,
        description: str,
        *more: Attribute,
        conditions: Mapping[Attribute, str] | None = None,
    ) -> Instrument:
        """Declare a distribution of durations in seconds."""
        declared = self.gauge(name, "s", description, *more)
        return replace(declared, kind=Kind.HISTOGRAM, conditions=conditions or {})
