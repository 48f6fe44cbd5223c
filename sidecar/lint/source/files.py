"""Files read together: env files as layers, manifests and compose files as workloads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sidecar.config import dotenv
from sidecar.config.finding import Violation
from sidecar.config.workload_reading import Deployment, Reading, few, unusable
from sidecar.lint.source import compose, docker, doppler, kubernetes
from sidecar.lint.source.file import Dialect, Loaded, load


def read(
    paths: Iterable[Path],
    *,
    dialect: Dialect = Dialect.AUTO,
    shell: Mapping[str, str] | None = None,
    part: str | None = None,
    alone: bool = False,
) -> Deployment:
    """Read files; whatever is wrong with them becomes a violation.

    An env file is an environment. Beside a compose file or manifests it lies under every workload
    of theirs when it is named before them, and over each when it is named after.

    Args:
        paths: The files; of two the later one wins.
        dialect: Who would read them.
        shell: What names without a value and references are taken from.
        part: The service of a compose file, or the container of a manifest.
        alone: Leave out the env files that a compose file names, and `.env` beside it.
    """
    given = shell or {}
    loaded = [load(path, dialect) for path in paths]
    files = [each for each in loaded if isinstance(each, Loaded)]
    deployment = Deployment(unread=[each for each in loaded if isinstance(each, Violation)])
    deployment.violations += [each.undecodable for each in files if each.undecodable is not None]
    deployment.take(compose.read(_of(files, Dialect.COMPOSE), given, part, alone=alone))
    deployment.take(kubernetes.read(_of(files, Dialect.KUBERNETES), part))
    plain = {n: _read_plain(each, given) for n, each in enumerate(files) if not each.is_manifest}
    # What could not be read may hold any variable: none can be called missing.
    unknown = Reading(promised={"*"} if deployment.unread else set())
    for number, reading in plain.items():
        deployment.violations += few(reading.violations)
        if not reading.variables and not reading.promised:
            source = files[number].source
            deployment.unread.append(unusable(source, f"{source} sets no variable."))
    first = next((n for n, each in enumerate(files) if each.is_manifest), len(files))
    under = [unknown, *(reading for number, reading in plain.items() if number < first)]
    over = [reading for number, reading in plain.items() if number > first]
    deployment.workloads = [
        _layered(each, under, over) for each in deployment.workloads or [_own_reading(loaded)]
    ]
    return deployment


def _own_reading(loaded: Sequence[Loaded | Violation]) -> Reading:
    """Give the environment that env files make by themselves."""
    first = next(iter(loaded), None)
    return Reading(source=None if first is None else first.source, line=1)


def _of(files: Sequence[Loaded], dialect: Dialect) -> list[Loaded]:
    return [each for each in files if each.dialect is dialect]


def _read_plain(file: Loaded, shell: Mapping[str, str]) -> Reading:
    match file.dialect:
        case Dialect.DOPPLER:
            return doppler.read(file.pairs, file.text, file.source)
        case Dialect.DOTENV:
            return dotenv.read(file.text, file.source, shell)
        case _:
            return docker.read(file.text, file.source, shell)


def _layered(workload: Reading, under: Sequence[Reading], over: Sequence[Reading]) -> Reading:
    layered = replace(workload, variables={}, promised=set())
    for layer in (*under, workload, *over):
        for name in layer.promised:
            layered.promise(name)
        for variable in layer.variables.values():
            layered.set(variable)
    return layered
