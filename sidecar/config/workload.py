"""Containers and services of a deployment: which of them run the service, and where."""

from collections.abc import Iterable, Sequence

from sidecar.config.environment import Environment, environment_of
from sidecar.config.naming import is_mounted_name
from sidecar.config.source.reading import Reading
from sidecar.config.text import tidy
from sidecar.config.variable import OPTION, Variable

_NAME = "ENVIRONMENT"
_OWN = frozenset({_NAME, "DATABASE_URL", "SECRET_KEY"})
_OWN_PREFIX = "SIDECAR_"


def settle(readings: Sequence[Reading], environment: str | None) -> Environment:
    """Decide what may be missing in each workload, and where it runs if it does not say.

    What the strictest workload says holds for those that do not, or else production: a deployment
    is no place for forgiveness. A database or a proxy beside the service, and what
    runs before it, lack nothing.

    Args:
        readings: Of all workloads; they are changed in place.
        environment: What the command line says, whatever the files do.
    """
    own = [_is_own(each) for each in readings]
    for reading, is_own in zip(readings, own, strict=True):
        mounted = {name.removesuffix("_FILE") for name in reading.variables}
        reading.promised |= {name for name in mounted if is_mounted_name(name)}
        if any(own) and not is_own:
            reading.promised.add("*")
        if environment is not None:
            reading.set(Variable(_NAME, environment, OPTION))
    return _strictest(readings)


def _is_own(reading: Reading) -> bool:
    if reading.ends_early:
        return False
    names = {name.removesuffix("_FILE") for name in (*reading.variables, *reading.promised)}
    return any(name in _OWN or name.startswith(_OWN_PREFIX) for name in names)


def _strictest(readings: Iterable[Reading]) -> Environment:
    said = [environment_of(name) for each in readings if (name := _said(each))]
    return max(said, key=list(Environment).index, default=Environment.PRODUCTION)


def _said(reading: Reading) -> str:
    variable = reading.variables.get(_NAME)
    return "" if variable is None else tidy(variable.value)
