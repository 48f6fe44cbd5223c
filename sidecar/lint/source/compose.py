"""Compose files: the environment of each service, as docker compose would make it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from yaml.nodes import Node

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.mount import read_text
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.builder import DeploymentBuilder, WorkloadBuilder, few, shown, unusable
from sidecar.lint.source.compose_project import ComposeFile, Definition, Project
from sidecar.lint.source.env_lines import read_for_compose, read_for_docker
from sidecar.lint.source.file import Dialect, Loaded, load
from sidecar.lint.source.interpolation import Filling, lost_reference
from sidecar.lint.source.manifest import child, entries, is_null, items, line_of, text_of

_PROFILES = "COMPOSE_PROFILES"
_SECRETS = "/run/secrets"


def read(
    files: Sequence[Loaded],
    shell: Mapping[str, str],
    part: str | None = None,
    *,
    alone: bool = False,
) -> DeploymentBuilder:
    """Read what each service would be given; a service of several files is merged as compose does.

    The files are in the order of `docker compose -f`. The `part` is read also when its profile is
    not active; env files, which may be kept out of the repository, are left out by `alone`.
    """
    deployment = DeploymentBuilder()
    if not files:
        return deployment
    source, project = files[0].source, Project(files, shell, alone=alone)
    deployment.unread += project.unread
    for name, definitions in project.services.items():
        if part not in {None, name, called(name)}:
            continue
        if not deployment.has_room(source):
            break
        if part is None and not _is_active(definitions, shell):
            deployment.faults.append(_asleep(name, source))
            continue
        workload = _read_service(name, definitions, deployment.unread, alone=alone)
        deployment.workloads.append(workload)
    if part is not None and not deployment.workloads:
        names = ", ".join(map(shown, project.services)) or "none"
        what = f"has no such service; it has {names}."
        deployment.unread.append(unusable(source, what, hint="Correct --part."))
    elif not deployment.workloads and not deployment.faults:
        deployment.unread.append(unusable(source, "has no service."))
    return deployment


def called(name: str) -> str:
    """Return what findings call a service."""
    return f"service {shown(name)}"


def _read_service(
    name: str, definitions: Sequence[Definition], unread: list[Fault], *, alone: bool
) -> WorkloadBuilder:
    """Read the environment of one service: `environment` wins over every `env_file`.

    Env files that it needs and that cannot be read are added to `unread`.
    """
    last = definitions[-1]
    builder = WorkloadBuilder(called(name), source=last.file.source, line=line_of(last.node))
    for definition in () if alone else definitions:
        listed = child(definition.node, "env_file")
        for each in items(listed) or (listed,):
            unread += _take_env_file(builder, each, definition.file)
    for definition in definitions:
        _take_environment(builder, definition)
    if not alone:
        builder.mount({path: held for one in definitions for path, held in _mounted(one)})
    return builder


def _take_env_file(
    builder: WorkloadBuilder, node: Node | None, file: ComposeFile
) -> Iterator[Fault]:
    """Set what an env file holds; yield why it cannot be read."""
    named = text_of(node) or text_of(child(node, "path"))
    path = file.directory / Filling(file.shell).fill(named)
    is_optional = text_of(child(node, "required")).lower() == "false"
    if not named or (is_optional and not path.exists()):
        return
    loaded = load(path, Dialect.DOCKER, by_file=True)
    if isinstance(loaded, Fault):
        yield loaded
        return
    is_raw = text_of(child(node, "format")) == "raw"
    given = (read_for_docker if is_raw else read_for_compose)(loaded, file.shell)
    for variable in given.variables.values():
        builder.set(variable)
    builder.promised |= given.promised
    builder.faults += few(given.faults)
    if loaded.undecodable is not None:
        builder.faults.append(loaded.undecodable)


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
    for name, value in entries(node).items():
        yield name, value, None if is_null(value) else text_of(value)
    for item in items(node):
        name, equals, text = text_of(item).partition("=")
        yield name, item, text if equals else None


def _mounted(definition: Definition) -> Iterator[tuple[str, Variable]]:
    """Yield what is in each mounted secret, by its path; what is not here is left out."""
    for each in items(child(definition.node, "secrets")):
        name = text_of(each) or text_of(child(each, "source"))
        held = _held(name, definition.file)
        if held is not None:
            yield str(PurePosixPath(_SECRETS, text_of(child(each, "target")) or name)), held


def _held(name: str, file: ComposeFile) -> Variable | None:
    """Return what a secret holds: a file of the project, or a variable of the shell."""
    declared = next((found for node in file.nodes if (found := child(node, "secrets", name))), None)
    if declared is None:
        return None
    path = Filling(file.shell).fill(text_of(child(declared, "file")))
    given = file.shell.get(text_of(child(declared, "environment")))
    if given is not None:
        return Variable(name, given, file.source, line_of(declared))
    try:
        # A pipeline seldom has the secrets themselves: then they are promised.
        place = str(file.directory / path)
        return Variable(name, read_text(place), place) if path else None
    except (OSError, ValueError):
        return None


def _is_active(definitions: Sequence[Definition], shell: Mapping[str, str]) -> bool:
    """Return True when compose starts a service that is not named."""
    profiles = {text_of(each) for one in definitions for each in items(child(one.node, "profiles"))}
    active = {each.strip() for each in shell.get(_PROFILES, "").split(",")}
    return not profiles or not profiles.isdisjoint(active) or "*" in active


def _asleep(name: str, source: str) -> Fault:
    message = f"The {called(name)} is of a profile that is not active, and was not judged."
    hint = f"Judge it with --part {shown(name)}, or set {_PROFILES}."
    return Fault(FaultKind.FILE, source, message, hint, source, at_most=Severity.INFO)
