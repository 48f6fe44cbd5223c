"""The checks of the probe process, each a small question to what is known in memory."""

from collections.abc import Callable
from typing import Unpack

from sidecar.health.check import Check, Run
from sidecar.health.registry import CheckOptions


def check(
    name: str, *tags: str, at_once: bool = False, **options: Unpack[CheckOptions]
) -> Callable[[Run], Check]:
    """Make a check of the function that asks; its options are those of a service's check.

    With `at_once` one answer decides, either way: it does not flicker, or is damped where it is.
    """
    options["groups"] = frozenset(tags)
    if at_once:
        options["fail_after"] = options["recover_after"] = 1
    return lambda run: Check(name=name, run=run, **options)
