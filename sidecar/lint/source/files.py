"""Files read together: env files as layers, manifests and compose files as workloads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sidecar.config import dotenv
from sidecar.config.fault import Fault
from sidecar.lint.source import compose, doppler, kubernetes
from sidecar.lint.source.builder import DeploymentBuilder, WorkloadBuilder, few, unusable
from sidecar.lint.source.env_lines import read_for_docker
from sidecar.lint.source.file import Dialect, Loaded, load


def read(
    paths: Iterable[Path],
    *,
    dialect: Dialect = Dialect.AUTO,
    shell: Mapping[str, str] | None = None,
    part: str | None = None,
    alone: bool = False,
) -> DeploymentBuilder:
    """Read files; what is wrong with them becomes a fault.

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
    deployment = DeploymentBuilder(unread=[each for each in loaded if isinstance(each, Fault)])
    deployment.faults += [each.undecodable for each in files if each.undecodable is not None]
    of_compose = [each for each in files if each.dialect is Dialect.COMPOSE]
    of_kubernetes = [each for each in files if each.dialect is Dialect.KUBERNETES]
    deployment.take(compose.read(of_compose, given, part, alone=alone))
    deployment.take(kubernetes.read(of_kubernetes, part))
    plain = {n: _read_plain(each, given) for n, each in enumerate(files) if not each.is_manifest}
    # What could not be read may hold any variable: none can be called missing.
    unknown = WorkloadBuilder(promised={"*"} if deployment.unread else set())
    for number, builder in plain.items():
        deployment.faults += few(builder.faults)
        if not builder.variables and not builder.promised:
            deployment.unread.append(unusable(files[number].source, "sets no variable."))
    first = next((n for n, each in enumerate(files) if each.is_manifest), len(files))
    under = [unknown, *(builder for number, builder in plain.items() if number < first)]
    over = [builder for number, builder in plain.items() if number > first]
    # Env files by themselves make one environment.
    by_themselves = WorkloadBuilder(source=loaded[0].source if loaded else None, line=1)
    found = deployment.workloads or [by_themselves]
    deployment.workloads = [_layered(each, under, over) for each in found]
    return deployment


def _read_plain(file: Loaded, shell: Mapping[str, str]) -> WorkloadBuilder:
    match file.dialect:
        case Dialect.DOPPLER:
            return doppler.read(file.pairs, file.text, file.source)
        case Dialect.DOTENV:
            variables, faults = dotenv.read(file.text, file.source, shell)
            return WorkloadBuilder(variables=variables, faults=faults)
        case _:
            return read_for_docker(file, shell)


def _layered(
    workload: WorkloadBuilder, under: Sequence[WorkloadBuilder], over: Sequence[WorkloadBuilder]
) -> WorkloadBuilder:
    layered = replace(workload, variables={}, promised=set())
    for layer in (*under, workload, *over):
        for name in layer.promised:
            layered.promise(name)
        for variable in layer.variables.values():
            layered.set(variable)
    return layered
