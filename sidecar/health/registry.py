"""The checks that a service writes itself."""

from collections.abc import Callable, Iterator
from typing import TypedDict, TypeVar, Unpack

from sidecar.errors import UsageError
from sidecar.health.check import Check, ComponentType, Probe, Run

RunT = TypeVar("RunT", bound=Run)


class CheckOptions(TypedDict, total=False):
    """What may be said about a check besides its name; see `Check`."""

    critical: bool
    interval_seconds: float
    timeout_seconds: float
    max_age_seconds: float
    fail_after: int
    recover_after: int
    component_type: ComponentType
    measurement: str
    groups: frozenset[str]
    in_process: bool


class Checks:
    """Named checks in the order of registration, ready to be handed to a monitor.

    Example:
        checks = Checks()

        @checks.readiness("payments", critical=False)
        async def payments() -> CheckResult:
            return passed() if await gateway.ping() else failed("payments.unreachable")
    """

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks.values())

    def __len__(self) -> int:
        return len(self._checks)

    def __getitem__(self, name: str) -> Check:
        return self._checks[name]

    def add(self, check: Check) -> None:
        """Take a check in.

        Raises:
            UsageError: Its name is taken.
        """
        if check.name in self._checks:
            raise UsageError(f"Two checks are named {check.name!r}; rename one of them.")
        self._checks[check.name] = check

    def readiness(self, name: str, **options: Unpack[CheckOptions]) -> Callable[[RunT], RunT]:
        """Decorate a function that says whether traffic may come."""
        return self._decorate(name, Probe.READINESS, options)

    def liveness(self, name: str, **options: Unpack[CheckOptions]) -> Callable[[RunT], RunT]:
        """Decorate a function that says whether a restart would help.

        Raises:
            UsageError: `in_process=True` is missing; nothing outside the process may decide here.
        """
        return self._decorate(name, Probe.LIVENESS, options)

    def _decorate(self, name: str, probe: Probe, options: CheckOptions) -> Callable[[RunT], RunT]:
        def register(run: RunT) -> RunT:
            self.add(Check(name=name, run=run, probe=probe, **options))
            return run

        return register
