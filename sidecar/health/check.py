"""A named question about fitness, and how often and how patiently it is asked."""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidecar.errors import UsageError
from sidecar.health.outcome import CheckResult

Run = Callable[[], Awaitable[CheckResult] | CheckResult]

_KEBAB_CASE: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Probe(StrEnum):
    """Which probe a check speaks for."""

    LIVENESS = "liveness"
    READINESS = "readiness"


class ComponentType(StrEnum):
    """What is checked, in the words of draft-inadarei-api-health-check-06, section 4.2."""

    COMPONENT = "component"
    DATASTORE = "datastore"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A question that the monitor asks again and again.

    Attributes:
        name: Kebab case; it is a metric label and the key of the health document.
        run: Asks once. A coroutine function runs on the event loop; any other callable runs in a
            thread of its own, because it may block, and must be safe there.
        critical: Whether its failure stops traffic; otherwise it only warns.
        interval_seconds: Pause between the end of one run and the start of the next.
        timeout_seconds: Hard limit of one run. A run that ignores it is left behind and counts
            as failed; no second one is started beside it.
        max_age_seconds: Age from which an answer is unknown; longer than an interval and a timeout
            together, or every slow run would read as a stopped monitor.
        fail_after: Bad answers in a row before a sound check turns bad.
        recover_after: Sound answers in a row before a bad check turns sound.
        measurement: What `observedValue` measures; with the name the key of the document.
        groups: Tags to show checks together.
        in_process: Promise that `run` touches nothing outside this process. Liveness takes no
            other: a shared outage would restart every replica at once.
    """

    name: str
    run: Run
    probe: Probe = Probe.READINESS
    critical: bool = True
    interval_seconds: float = 1.0
    timeout_seconds: float = 2.0
    max_age_seconds: float = 10.0
    fail_after: int = 3
    recover_after: int = 2
    component_type: ComponentType = ComponentType.COMPONENT
    measurement: str = "status"
    groups: frozenset[str] = frozenset()
    in_process: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UsageError: The check is named, timed or placed in a way that cannot work.
        """
        for fault in _find_faults(self):
            raise UsageError(f"Check {fault}")


def _find_faults(check: Check) -> Iterator[str]:
    name, least = repr(check.name), check.interval_seconds + check.timeout_seconds
    if not _KEBAB_CASE.fullmatch(check.name):
        yield f"name {name} is not kebab case; write it like 'payments' or 'order-queue'."
    if check.probe is Probe.LIVENESS and not check.in_process:
        yield (
            f"{name} cannot decide on liveness: it may touch something outside this process, whose "
            "outage would then restart every replica. Register it for readiness, or declare "
            "in_process=True if it reads nothing but this process's own memory."
        )
    if check.interval_seconds <= 0 or check.timeout_seconds <= 0:
        yield f"{name} needs an interval and a timeout above 0 seconds."
    if check.fail_after < 1 or check.recover_after < 1:
        yield f"{name} needs fail_after and recover_after of 1 or more."
    if check.max_age_seconds <= least:
        yield (
            f"{name} would be stale between two runs: raise max_age_seconds above interval and "
            f"timeout together ({least:g} s)."
        )
