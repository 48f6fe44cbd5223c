"""Adds and removes checks as projections, pools, subscribers and checks of others come and go."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from sidecar.errors import UsageError
from sidecar.events.subscriber import SubscriberKind
from sidecar.health.check import Check
from sidecar.health.monitor import Monitor
from sidecar.process.application import Application
from sidecar.projections.projection_sample import DeadLetterCount
from sidecar.telemetry.pool_metrics import PoolReport
from sidecar.wiring.checks.process import pool_check, reported_check
from sidecar.wiring.checks.read_model import projection_check
from sidecar.wiring.in_process import InProcess, Key, subscriber_check
from sidecar.wiring.observed import ObservedState

logger = logging.getLogger(__name__)

MakeCheck = Callable[[], Check]
Read = Callable[[], ObservedState]
"""Returns what is known now."""


class DynamicChecks:
    """Keeps a changing set of checks on a monitor.

    A check that cannot be added, as one of the application's that bears the name of ours, is left
    out and logged once; it must not take the others with it.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._present: set[str] = set()
        self._refused: set[str] = set()

    def update(self, wanted: Mapping[str, MakeCheck]) -> None:
        """Add what is wanted and not there, remove what is there and not wanted."""
        for name in self._present - wanted.keys():
            self._monitor.discard(name)
        known = self._present | self._refused
        for name in [name for name in wanted if name not in known]:
            self._add(name, wanted[name])
        self._present &= wanted.keys()
        self._refused &= wanted.keys()

    def _add(self, name: str, make: MakeCheck) -> None:
        try:
            self._monitor.add(make())
        except UsageError as error:
            self._refused.add(name)
            logger.warning(
                "A check is left out: %s",
                error,
                extra={"event": "sidecar.check.refused", "check": name},
            )
        else:
            self._present.add(name)


def wanted_checks(
    read: Read, application: Application | None, lag_limit_seconds: float
) -> dict[str, MakeCheck] | None:
    """Return, by name, the checks of what is there now; None while the database is not seen."""
    state = read()
    if state.sample is None:
        return None
    return {
        **_projection_checks(state, read, lag_limit_seconds),
        **_pool_checks(state, read),
        **_subscriber_checks(state, read),
        **_reported_checks(state, application),
    }


def _projection_checks(
    state: ObservedState, read: Read, lag_limit_seconds: float
) -> dict[str, MakeCheck]:
    names = _name_checks("projection", (each.name for each in state.projections))
    return {
        name: partial(projection_check, projection, name, read, lag_limit_seconds)
        for projection, name in names.items()
    }


def _pool_checks(state: ObservedState, read: Read) -> dict[str, MakeCheck]:
    return {
        name: partial(pool_check, name, partial(_find_pool, read, process, pool))
        for process, pools in state.pools.items()
        for pool, name in _name_checks(f"pool-{process}", (each.name for each in pools)).items()
    }


def _find_pool(read: Read, process: str, name: str) -> PoolReport | None:
    return read().find_pool(process, name)


def _subscriber_checks(state: ObservedState, read: Read) -> dict[str, MakeCheck]:
    """Return those of what is called in the application; what workers run has its own names."""
    keys = dict.fromkeys(state.subscribers)
    keys |= dict.fromkeys((SubscriberKind.PROJECTION.value, name) for name in state.published)
    run_by_workers = {each.name for each in state.projections}
    checks: dict[str, MakeCheck] = {}
    for kind in SubscriberKind:
        names = [name for one, name in keys if one == kind]
        for prefix, chosen in (
            (kind.value, [name for name in names if name not in run_by_workers]),
            (f"published-{kind.value}", [name for name in names if name in run_by_workers]),
        ):
            for name, check_name in _name_checks(prefix, chosen).items():
                find = partial(_find_subscriber, read, (kind.value, name))
                checks[check_name] = partial(subscriber_check, check_name, find)
    return checks


def _find_subscriber(read: Read, key: Key) -> tuple[InProcess | None, DeadLetterCount | None]:
    state = read()
    return state.subscribers.get(key), state.letters_of(key)


def _reported_checks(state: ObservedState, application: Application | None) -> dict[str, MakeCheck]:
    if application is None:
        return {}
    return {
        report.name: partial(reported_check, report, application)
        for member in state.members
        for report in member.heartbeat.checks
    }


def _name_checks(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """Return a check name for each name, in kebab case and without a clash."""
    named: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        base = f"{prefix}-{_kebab_case(name)}"
        check_name, number = base, 1
        while check_name in taken:
            number += 1
            check_name = f"{base}-{number}"
        named[name] = check_name
        taken.add(check_name)
    return named


def _kebab_case(name: str) -> str:
    """Turn `OrderTotals` and `order_totals` alike into `order-totals`."""
    spaced = "".join(
        f"-{letter}" if letter.isupper() and before.islower() else letter
        for before, letter in zip(f" {name}", name, strict=False)
    )
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in spaced.lower()).split("-")
    return "-".join(word for word in words if word) or "unnamed"
