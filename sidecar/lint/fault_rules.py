"""Rules about what could not be read: what each kind of fault is called, and how bad it is."""

from collections.abc import Iterable
from operator import attrgetter

from sidecar.config.fault import Fault, FaultKind
from sidecar.lint.finding import ERROR, Rule, Violation

ENV03 = Rule(
    "ENV03",
    "quotes, blanks, control characters or a comment kept inside a value; unexpanded `${...}`",
)
ENV04 = Rule(
    "ENV04", "a value of the wrong type, range or choice", relaxed=ERROR, refs=("12-factor III",)
)
ENV06 = Rule(
    "ENV06",
    "`X` and `X_FILE` both set, a mounted file or `.env` that cannot be read",
    refs=("12-factor III",),
)
# Refused in production: a rule in code that cannot be asked guards nothing, without a sign of it.
ENV07 = Rule("ENV07", "a mistake in `sidecar.toml` or `[tool.sidecar]`, or in a rule of one's own")
DB07 = Rule(
    "DB07", "pool bounds that cannot hold: minimum above maximum, or one below 1", relaxed=ERROR
)
DB19 = Rule("DB19", "a schema for the sidecar that cannot be one", relaxed=ERROR)
_RULES = {
    FaultKind.MARK: ENV03,
    FaultKind.FORM: ENV04,
    FaultKind.FILE: ENV06,
    FaultKind.PROJECT: ENV07,
    FaultKind.POOL: DB07,
    FaultKind.SCHEMA: DB19,
}
_TOLD = attrgetter("field", "message", "hint", "source", "at_most", "line")


def violations_of(faults: Iterable[Fault]) -> tuple[Violation, ...]:
    """Return the violation that each fault is."""
    return tuple(Violation(_RULES[each.kind], *_TOLD(each)) for each in faults)
