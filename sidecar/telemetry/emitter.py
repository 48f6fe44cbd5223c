"""What a metric is: its kind and names, who emits it, and how many series it can have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """Declares what processes of some kinds emit."""

    processes: tuple[str, ...]

    def gauge(self, name: str, unit: str, description: str, *attributes: Attribute) -> Instrument:
        """Declare a value of now."""
        return Instrument(name, Kind.GAUGE, unit, description, attributes, self.processes)

    def counter(self, name: str, unit: str, description: str, *attributes: Attribute) -> Instrument:
        """Declare a count since the start of the process."""
        return Instrument(name, Kind.COUNTER, unit, description, attributes, self.processes)

    def up_down_counter(
        self, name: str, unit: str, description: str, *attributes: Attribute
    ) -> Instrument:
        """Declare a count of now that may be added up over processes."""
        return Instrument(name, Kind.UP_DOWN_COUNTER, unit, description, attributes, self.processes)

    def histogram(
        self,
        name: str,
        description: str,
        *attributes: Attribute,
        conditions: Mapping[Attribute, str] | None = None,
    ) -> Instrument:
        """Declare a distribution of durations in seconds."""
        return Instrument(
            *(name, Kind.HISTOGRAM, "s", description),
            attributes,
            self.processes,
            conditions or {},
        )
