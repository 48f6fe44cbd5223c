"""What files say about the environments of a deployment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.opaque import is_opaque
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_mounted_name

MOST_VARIABLES = 200_000
MOST_WORKLOADS = 1_000
MOST_FAULTS = 20
PUT_RIGHT = "Put the file right: nothing of it can be judged."
_LONGEST_NAME = 128


@dataclass(slots=True)
class WorkloadBuilder:
    """The environment of one workload, or what one env file holds.

    Attributes:
        name: The container or service; `None` for an env file, which is an environment itself.
        faults: What is wrong with it.
        promised: Variables that the deployment takes from elsewhere; nothing can be said of them.
            `*` for any: then none can be called missing.
        ends_early: It runs before the service and needs a part of its environment only.
        source: The file that starts it, or the first one that it is made of.
        line: Where in that file, counted from 1.
    """

    name: str | None = None
    variables: dict[str, Variable] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    promised: set[str] = field(default_factory=set)
    ends_early: bool = False
    source: str | None = None
    line: int | None = None

    def put(self, variable: Variable) -> None:
        """Set a variable; the later of two wins, and that there are two is a fault."""
        earlier = self.variables.get(variable.name)
        if earlier is not None and earlier.source == variable.source:
            message = f"{variable.name} stands twice, in lines {earlier.line} and {variable.line}."
            hint = "Keep one of them; the last one wins here, the first one elsewhere."
            place = (variable.source, variable.line, Severity.WARNING)
            self.faults.append(Fault(FaultKind.FILE, variable.name, message, hint, *place))
        self.set(variable)

    def set(self, variable: Variable) -> None:
        """Set a variable over an earlier one, where that is meant."""
        if is_opaque(variable.value):
            self.promise(variable.name)
            return
        self.promised.discard(variable.name)
        self.variables[variable.name] = variable

    def mount(self, files: Mapping[str, Variable]) -> None:
        """Set `NAME` from the file that `NAME_FILE` points to, where `files` has it by its path."""
        for pointer in list(self.variables.values()):
            name = pointer.name.removesuffix("_FILE")
            held = files.get(pointer.value.strip())
            if held is not None and name not in self.variables and is_mounted_name(name):
                text = held.value.removesuffix("\n").removesuffix("\r")
                self.set(replace(held, name=name, value=text))

    def promise(self, name: str) -> None:
        """Note that the value comes from elsewhere, over an earlier one."""
        self.variables.pop(name, None)
        self.promised.add(name)


@dataclass(slots=True)
class DeploymentBuilder:
    """Everything that files start, workload by workload.

    Attributes:
        faults: What is wrong with the files themselves.
        unread: What could not be read; no verdict can rest on the rest.
    """

    workloads: list[WorkloadBuilder] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unread: list[Fault] = field(default_factory=list)

    def take(self, more: "DeploymentBuilder") -> None:
        """Add what other files start."""
        self.workloads += more.workloads
        self.faults += more.faults
        self.unread += more.unread

    def has_room(self, source: str) -> bool:
        """Return True when more can be read; aliases let a small file stand for an endless one."""
        variables = sum(len(each.variables) for each in self.workloads)
        if len(self.workloads) < MOST_WORKLOADS and variables <= MOST_VARIABLES:
            return True
        bounds = f"{MOST_WORKLOADS} workloads or {MOST_VARIABLES} variables"
        what = f"has more than {bounds}, and was not read whole."
        self.unread.append(unusable(source, what, hint="Check it in parts, with --part."))
        return False


def unusable(source: str, what: str, line: int | None = None, *, hint: str = PUT_RIGHT) -> Fault:
    """Return the fault of a file, or of a line of it, that cannot be used."""
    return Fault(FaultKind.FILE, source, f"{source} {what}", hint, source, line)


def few(faults: Sequence[Fault]) -> list[Fault]:
    """Return the first faults of a file and the number of the others; a binary has thousands."""
    if len(faults) <= MOST_FAULTS:
        return list(faults)
    left = len(faults) - MOST_FAULTS
    first = faults[MOST_FAULTS]
    message = f"{left} more faults of {first.source} are not told, from line {first.line} on."
    hint = "Put the first ones right; is it the file that was meant?"
    return [*faults[:MOST_FAULTS], replace(first, message=message, hint=hint)]


def shown(name: str) -> str:
    """Return a name out of a file fit to be printed: short, and without control characters."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name)[
        :_LONGEST_NAME
    ]
