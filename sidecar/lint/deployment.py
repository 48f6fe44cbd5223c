"""Containers and services of a deployment: which of them run the service, and where."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.config.environ import Environ, inherit
from sidecar.config.environment import Environment, environment_of
from sidecar.config.finding import weigh_all
from sidecar.config.text import tidy
from sidecar.config.variable import OPTION, Variable
from sidecar.config.variable_name import is_mounted_name
from sidecar.config.workload_reading import Reading
from sidecar.lint.source import files
from sidecar.lint.source.file import Dialect

_NAME = "ENVIRONMENT"
_OWN = frozenset({_NAME, "DATABASE_URL", "SECRET_KEY"})
_OWN_PREFIX = "SIDECAR_"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What files of a deployment would start.

    Attributes:
        environs: One for each workload, at least one; what is wrong with the files themselves is
            told of the first.
        unread: Why a part could not be read: no verdict can rest on the rest.
    """

    environs: tuple[Environ, ...]
    unread: tuple[str, ...] = ()


def gather(
    paths: Sequence[Path],
    *,
    dialect: Dialect = Dialect.AUTO,
    part: str | None = None,
    environment: str | None = None,
    shell: Mapping[str, str] | None = None,
) -> Environ:
    """Put together what files set for the one workload that they start, or that `part` names.

    Takes what `gather_all` takes.

    Raises:
        ValueError: They start several.
    """
    gathered = gather_all(paths, dialect=dialect, part=part, environment=environment, shell=shell)
    [environ] = gathered.environs
    return environ


def gather_all(
    paths: Sequence[Path],
    *,
    dialect: Dialect = Dialect.AUTO,
    part: str | None = None,
    environment: str | None = None,
    shell: Mapping[str, str] | None = None,
) -> Gathered:
    """Put together what files of a deployment would set, workload by workload.

    Args:
        paths: Files for docker, compose, Kubernetes or from Doppler; of two the later one wins.
        dialect: Who would read them.
        part: The service of a compose file, or the container of a manifest.
        environment: Stands for ENVIRONMENT, whatever the files say.
        shell: What references are filled in from; the process environment when `None`.
    """
    given = inherit() if shell is None else shell
    deployment = files.read(paths, dialect=dialect, shell=given, part=part)
    readings = deployment.workloads
    assumed = settle(readings, environment)
    first, *others = [_of_workload(each, assumed) for each in readings]
    faults = (*deployment.unread, *deployment.violations)
    told = weigh_all(faults, max((each.environment for each in (first, *others)), key=_rank))
    return Gathered(
        (replace(first, findings=(*told, *first.findings)), *others),
        tuple(f"{each.message} {each.hint}" for each in deployment.unread),
    )


def _of_workload(reading: Reading, assumed: Environment) -> Environ:
    environ = Environ(
        reading.variables,
        promised=frozenset(reading.promised),
        workload=reading.workload,
        origin=None if reading.source is None else (reading.source, reading.line),
        assumed=assumed,
    )
    weighed = weigh_all(tuple(reading.violations), environ.environment)
    return replace(
        environ, findings=tuple(replace(each, workload=reading.workload) for each in weighed)
    )


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
    return max(said, key=_rank, default=Environment.PRODUCTION)


def _rank(environment: Environment) -> int:
    return list(Environment).index(environment)


def _said(reading: Reading) -> str:
    variable = reading.variables.get(_NAME)
    return "" if variable is None else tidy(variable.value)
