"""Compose files: the environment of each service, as docker compose would make it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from yaml.nodes import Node

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source import compose_env, docker
from sidecar.lint.source.builder import DeploymentBuilder, WorkloadBuilder, few, shown, unusable
from sidecar.lint.source.compose_project import ComposeFile, Definition, Project
from sidecar.lint.source.compose_secret import files_of
from sidecar.lint.source.file import Dialect, Loaded, load
from sidecar.lint.source.interpolation import Filling, lost_reference
from sidecar.lint.source.manifest import child, entries, is_null, items, line_of, text_of

_PROFILES = "COMPOSE_PROFILES"


def read(
    files: Sequence[Loaded],
    shell: Mapping[str, str],
    part: str | None = None,
    *,
    alone: bool = False,
) -> DeploymentBuilder:
    """Read what each service would be given; a service of several files is merged as compose does.

    Args:
        files: The parsed files, in the order of `docker compose -f`.
        shell: What `${NAME}` is filled in from, before `.env` beside the first file.
        part: Read this service only, also when its profile is not active.
        alone: Leave out env files, which may be kept out of the repository.
    """
    deployment = DeploymentBuilder()
    if not files:
        return deployment
    project = Project(files, shell, alone=alone)
    deployment.unread += project.unread
    for name, definitions in project.services.items():
        if part not in {None, name, called(name)}:
            continue
        if not deployment.has_room(files[0].source):
            break
        if part is None and not _is_active(definitions, shell):
            deployment.faults.append(_asleep(name, files[0].source))
            continue
        workload = _read_service(name, definitions, deployment.unread, alone=alone)
        deployment.workloads.append(workload)
    if part is not None and not deployment.workloads:
        names = ", ".join(map(shown, project.services)) or "none"
        message = f"{files[0].source} has no such service; it has {names}."
        deployment.unread.append(unusable(files[0].source, message, hint="Correct --part."))
    elif not deployment.workloads and not deployment.faults:
        message = f"{files[0].source} has no service."
        deployment.unread.append(unusable(files[0].source, message))
    return deployment


def called(name: str) -> str:
    """Return what findings call a service."""
    return f"service {shown(name)}"


def _read_service(
    name: str, definitions: Sequence[Definition], unread: list[Fault], *, alone: bool
) -> WorkloadBuilder:
    """Read the environment of one service: `environment` wins over every `env_file`.

    Args:
        name: The service.
        definitions: What it is made of; of two, the later one wins.
        unread: Takes env files that it needs and that cannot be read.
        alone: Leave its env files out.
    """
    last = definitions[-1]
    builder = WorkloadBuilder(called(name), source=last.file.source, line=line_of(last.node))
    for definition in () if alone else definitions:
        for entry in _env_files(child(definition.node, "env_file")):
            fault = _take_env_file(builder, entry, definition.file)
            unread += [] if fault is None else [fault]
    for definition in definitions:
        _take_environment(builder, definition)
    if not alone:
        builder.mount(files_of(definitions))
    return builder


def _take_env_file(builder: WorkloadBuilder, entry: "_EnvFile", file: ComposeFile) -> Fault | None:
    """Set what an env file holds; return why it cannot be read."""
    path = file.directory / Filling(file.shell).fill(entry.path)
    if not entry.is_required and not path.exists():
        return None
    loaded = load(path, Dialect.DOCKER, by_file=True)
    if isinstance(loaded, Fault):
        return loaded
    read_file = docker.read if entry.is_raw else compose_env.read
    given = read_file(loaded.text, loaded.source, file.shell)
    for variable in given.variables.values():
        builder.set(variable)
    builder.promised |= given.promised
    builder.faults += few(given.faults)
    if loaded.undecodable is not None:
        builder.faults.append(loaded.undecodable)
    return None


@dataclass(frozen=True, slots=True)
class _EnvFile:
    path: str
    is_required: bool
    is_raw: bool


def _env_files(node: Node | None) -> Iterator[_EnvFile]:
    for each in items(node) or ((node,) if node is not None else ()):
        path = text_of(each) or text_of(child(each, "path"))
        if path:
            is_required = text_of(child(each, "required")).lower() != "false"
            yield _EnvFile(path, is_required, text_of(child(each, "format")) == "raw")


def _take_environment(builder: WorkloadBuilder, definition: Definition) -> None:
    source, shell = definition.file.source, definition.file.shell
    for name, node, value in _pairs(child(definition.node, "environment")):
        filling = Filling(shell)
        given = shell.get(name) if value is None else filling.fill(value)
        if given is None or not is_plain_name(name):
            continue
        builder.set(Variable(name, given, source, line_of(node)))
        if filling.lost:
            # An optional setting is often passed on as it is: ${LEVEL}.
            at_most = Severity.WARNING if given else Severity.INFO
            builder.faults.append(lost_reference(name, source, line_of(node), at_most))


def _pairs(node: Node | None) -> Iterator[tuple[str, Node, str | None]]:
    """Yield name, node and value of `environment`, a mapping or a list; no value is `None`."""
    for name, value in entries(node):
        yield name, value, None if is_null(value) else text_of(value)
    for item in items(node):
        name, equals, text = text_of(item).partition("=")
        yield name, item, text if equals else None


def _is_active(definitions: Sequence[Definition], shell: Mapping[str, str]) -> bool:
    """Return True when compose starts a service that is not named."""
    profiles = {text_of(each) for one in definitions for each in items(child(one.node, "profiles"))}
    active = {each.strip() for each in shell.get(_PROFILES, "").split(",")}
    return not profiles or not profiles.isdisjoint(active) or "*" in active


def _asleep(name: str, source: str) -> Fault:
    message = f"The {called(name)} is of a profile that is not active, and was not judged."
    hint = f"Judge it with --part {shown(name)}, or set {_PROFILES}."
    return Fault(FaultKind.FILE, source, message, hint, source, at_most=Severity.INFO)
