"""What is judged: a process, or the workloads that files of a deployment would start."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from sidecar.config.environ import Environ, inherit
from sidecar.config.environment import Environment, environment_of
from sidecar.config.variable import OPTION, Variable
from sidecar.config.variable_name import is_mounted_name
from sidecar.lint.fault_rules import violations_of
from sidecar.lint.finding import Finding, weigh_all
from sidecar.lint.source import files
from sidecar.lint.source.builder import WorkloadBuilder
from sidecar.lint.source.file import Dialect

_NAME = "ENVIRONMENT"
_SERVICE_NAMES = frozenset({_NAME, "DATABASE_URL", "SECRET_KEY"})
_SERVICE_PREFIX = "SIDECAR_"
_RANK = list(Environment).index

Origin = tuple[str, int | None]
"""A file, and the line in it, counted from 1."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A container or service of a deployment, or this process.

    Attributes:
        name: What findings call it; `None` for a process.
        origin: The file and line that start it, for what is missing in it; `None` for a process.
        findings: What was wrong with the files that it was read from.
    """

    environ: Environ
    name: str | None = None
    origin: Origin | None = None
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, environ: Environ, name: str | None = None, origin: Origin | None = None) -> Self:
        """Return a workload with the environment that it is given; without a name, a process."""
        found = weigh_all(violations_of(environ.faults), environ.environment)
        return cls(environ, name, origin, tuple(replace(each, workload=name) for each in found))


@dataclass(frozen=True, slots=True)
class Deployment:
    """What files of a deployment would start.

    Attributes:
        workloads: At least one; what is wrong with the files themselves is found in the first.
        unread: Why a part could not be read: no verdict can rest on the rest.
    """

    workloads: tuple[Workload, ...]
    unread: tuple[str, ...] = ()


def read_deployment(
    paths: Sequence[Path],
    *,
    dialect: Dialect = Dialect.AUTO,
    part: str | None = None,
    environment: str | None = None,
    shell: Mapping[str, str] | None = None,
) -> Deployment:
    """Put together what files of a deployment would set, workload by workload.

    Args:
        paths: Files for docker, compose, Kubernetes or from Doppler; of two the later one wins.
        dialect: Who would read them.
        part: The service of a compose file, or the container of a manifest.
        environment: Stands for ENVIRONMENT, over what the files say.
        shell: What references are filled in from; the process environment when `None`.
    """
    given = inherit() if shell is None else shell
    found = files.read(paths, dialect=dialect, shell=given, part=part)
    _complete(found.workloads, environment)
    assumed = _strictest(found.workloads)
    first, *others = [_workload(each, assumed) for each in found.workloads]
    strictest = max((each.environ.environment for each in (first, *others)), key=_RANK)
    of_files = weigh_all(violations_of((*found.unread, *found.faults)), strictest)
    return Deployment(
        (replace(first, findings=(*of_files, *first.findings)), *others),
        tuple(f"{each.message} {each.hint}" for each in found.unread),
    )


def _workload(builder: WorkloadBuilder, assumed: Environment) -> Workload:
    faults, promised = tuple(builder.faults), frozenset(builder.promised)
    origin = None if builder.source is None else (builder.source, builder.line)
    return Workload.of(Environ(builder.variables, faults, promised, assumed), builder.name, origin)


def _complete(builders: Sequence[WorkloadBuilder], environment: str | None) -> None:
    """Set what the command line says, and promise what may be missing in a workload.

    A database or a proxy beside the service, and what runs before it, lack nothing.
    """
    run_service = [_runs_service(each) for each in builders]
    for builder, runs_service in zip(builders, run_service, strict=True):
        mounted = {name.removesuffix("_FILE") for name in builder.variables}
        builder.promised |= {name for name in mounted if is_mounted_name(name)}
        if any(run_service) and not runs_service:
            builder.promised.add("*")
        if environment is not None:
            builder.set(Variable(_NAME, environment, OPTION))


def _runs_service(builder: WorkloadBuilder) -> bool:
    if builder.ends_early:
        return False
    names = {name.removesuffix("_FILE") for name in (*builder.variables, *builder.promised)}
    return any(name in _SERVICE_NAMES or name.startswith(_SERVICE_PREFIX) for name in names)


def _strictest(builders: Iterable[WorkloadBuilder]) -> Environment:
    """Return what holds for workloads that do not say where they run.

    That is what the strictest one says, or else production: a deployment is no place for
    forgiveness.
    """
    said = [Environ(each.variables).text(_NAME) for each in builders]
    return max(map(environment_of, filter(None, said)), key=_RANK, default=Environment.PRODUCTION)
