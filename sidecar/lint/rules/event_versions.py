"""Rules about the versions of events, asked when a worker starts."""

from collections.abc import Mapping
from typing import Final

from sidecar.events.types import EventTypes
from sidecar.lint.finding import ERROR, Rule, Violation, Violations

HOLE: Final = Rule("EVT01", "a chain of upcasters with a hole", ERROR, ERROR)
FUTURE: Final = Rule("EVT02", "stored events of a schema version from the future", ERROR, ERROR)


def find_faults(types: EventTypes, stored: Mapping[str, int]) -> Violations:
    """Yield what will park events, before it does.

    `stored` has the newest schema version by type name, as far as it was looked for.
    """
    for name, version in types.find_holes():
        message = f"Events of type {name} in schema version {version} cannot be read."
        hint = f"Register an upcaster: @types.upcast({name!r}, from_version={version})."
        yield Violation(HOLE, name, message, hint)
    for name, version in stored.items():
        known = types.find(name)
        if known is not None and version > known.version:
            message = (
                f"Events of type {name} are stored in schema version {version}; this service "
                f"knows {known.version}."
            )
            hint = "Deploy the newer service here as well; until then these events are parked."
            yield Violation(FUTURE, name, message, hint)
