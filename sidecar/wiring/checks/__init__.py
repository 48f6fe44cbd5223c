"""The checks of the probe process, each a small question to what is known in memory."""

from collections.abc import Callable
from typing import Unpack

from sidecar.health.check import Check, Run
from sidecar.health.registry import CheckOptions


def check(name: str, group: str, **options: Unpack[CheckOptions]) -> Callable[[Run], Check]:
    """Make a check of the function that asks; its options are those of a service's check."""
    options["groups"] = frozenset({group})
    return lambda run: Check(name=name, run=run, **options)
