"""Kubernetes manifests: the environment of each container, as the kubelet would make it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from yaml.nodes import Node

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.filling import fill_in
from sidecar.config.opaque import opaque
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name, is_secret_name
from sidecar.lint.source.builder import DeploymentBuilder, WorkloadBuilder, shown, unusable
from sidecar.lint.source.file import Loaded
from sidecar.lint.source.kubernetes_store import Store, Stores
from sidecar.lint.source.kubernetes_volume import files_of
from sidecar.lint.source.manifest import child, items, line_of, text_of

_POD_PATHS = (
    ("spec",),
    ("spec", "template", "spec"),
    ("template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
_CONTAINERS = {"containers": "container", "initContainers": "init container"}
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")
_KEY_REFERENCES = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
_WHOLE_REFERENCES = {"secretRef": "Secret", "configMapRef": "ConfigMap"}


@dataclass(frozen=True, slots=True)
class _Container:
    """A container in a manifest, with what it is called."""

    node: Node
    pod: Node | None
    source: str
    namespace: str
    kind: str
    name: str
    workload: str


def read(files: Sequence[Loaded], part: str | None = None) -> DeploymentBuilder:
    """Read what each container would be given; without containers, what each store holds.

    What comes from a Secret or ConfigMap that is in none of the files is promised, not judged.

    Args:
        files: Read together, as they are applied together.
        part: The name of one container, or of its workload as findings show it.
    """
    deployment = DeploymentBuilder()
    objects = [(file.source, each) for file in files for each in _objects(file)]
    stores = Stores()
    for source, node in objects:
        deployment.faults += stores.take(node, source)
    containers = [each for source, node in objects for each in _containers(node, source)]
    wanted = [each for each in containers if part in {None, each.name, each.workload}]
    for container in wanted:
        if not deployment.has_room(container.source):
            return deployment
        deployment.workloads.append(_ContainerReader(container, stores).read())
    if not containers:
        deployment.workloads += stores.workloads()
    _tell_absence(deployment, files, containers, part)
    return deployment


def _tell_absence(
    deployment: DeploymentBuilder,
    files: Sequence[Loaded],
    containers: list[_Container],
    part: str | None,
) -> None:
    if deployment.workloads or not files:
        return
    source = files[0].source
    names = ", ".join(dict.fromkeys(each.name for each in containers))
    message = f"{source} holds no container, and no Secret or ConfigMap of variables."
    hint = "Give the files that start containers."
    if containers and part is not None:
        message, hint = f"{source} has no such container; it has {names}.", "Correct --part."
    deployment.unread.append(unusable(source, message, hint=hint))


def _objects(file: Loaded) -> Iterator[Node]:
    for node in file.nodes:
        if text_of(child(node, "kind")).endswith("List"):
            yield from items(child(node, "items"))
        else:
            yield node


def _containers(node: Node, source: str) -> Iterator[_Container]:
    namespace = text_of(child(node, "metadata", "namespace"))
    kind = shown(text_of(child(node, "kind"))).lower()
    name = shown(text_of(child(node, "metadata", "name")))
    parts = [f"namespace {shown(namespace)}"] if namespace else []
    parts.append(f"{kind}/{name}" if name else kind)
    for path in _POD_PATHS:
        pod = child(node, *path)
        for key, called in _CONTAINERS.items():
            for each in items(child(pod, key)):
                name = shown(text_of(child(each, "name")))
                workload = " > ".join((*parts, f"{called} {name}".strip()))
                yield _Container(each, pod, source, namespace, key, name, workload)


class _ContainerReader:
    """Reads `envFrom` and `env` of one container, in the kubelet's order."""

    def __init__(self, container: _Container, stores: Stores) -> None:
        self._container = container
        self._stores = stores
        is_native_sidecar = text_of(child(container.node, "restartPolicy")) == "Always"
        ends_early = container.kind == "initContainers" and not is_native_sidecar
        self._builder = WorkloadBuilder(
            container.workload,
            ends_early=ends_early,
            source=container.source,
            line=line_of(container.node),
        )

    def read(self) -> WorkloadBuilder:
        """Return the container's environment."""
        for each in items(child(self._container.node, "envFrom")):
            self._take_store(each)
        listed = WorkloadBuilder()
        for each in items(child(self._container.node, "env")):
            self._take_entry(each, listed)
        self._builder.faults += listed.faults
        mounted = files_of(
            self._container.pod, self._container.node, self._container.namespace, self._stores
        )
        self._builder.mount(mounted)
        return self._builder

    def _take_store(self, node: Node) -> None:
        prefix = text_of(child(node, "prefix"))
        for reference, kind in _WHOLE_REFERENCES.items():
            found = child(node, reference)
            store = self._find(kind, found)
            if store is not None:
                for variable in store.variables(prefix):
                    self._builder.set(variable)
            elif found is not None:
                # Any variable may be in there: nothing can be called missing.
                self._builder.promised.add("*")

    def _take_entry(self, node: Node, listed: WorkloadBuilder) -> None:
        name = text_of(child(node, "name"))
        if not is_plain_name(name):
            return
        given, reference = child(node, "value"), child(node, "valueFrom")
        place = given or reference or node
        found: Variable | None = None
        if reference is None:
            text = self._expanded(name, text_of(given), line_of(place))
            found = Variable(name, text, self._container.source, line_of(place))
        else:
            found = self._referred(name, reference)
        # One name twice in the list is a slip; over one of a whole Secret it is meant.
        listed.put(Variable(name, "", self._container.source, line_of(node)))
        if found is not None:
            self._builder.set(found)

    def _referred(self, name: str, node: Node) -> Variable | None:
        for reference, kind in _KEY_REFERENCES.items():
            found = child(node, reference)
            store = self._find(kind, found)
            key = text_of(child(found, "key"))
            is_optional = text_of(child(found, "optional")) == "true"
            if store is not None and key in store.values:
                return replace(store.values[key], name=name)
            if store is not None and store.lacks(key):
                if is_optional:
                    return None
                self._tell_no_key(name, f"key {shown(key)} of {kind} {store.name}", node)
        self._builder.promise(name)
        return None

    def _find(self, kind: str, node: Node | None) -> Store | None:
        name = text_of(child(node, "name"))
        return self._stores.find(kind, self._container.namespace, name) if name else None

    def _tell_no_key(self, name: str, what: str, node: Node) -> None:
        message = f"{name} is the {what}, and there is no such key."
        hint = (
            "Add the key, or correct its name; the container does not start without it "
            "(CreateContainerConfigError)."
        )
        place = (self._container.source, line_of(node))
        self._builder.faults.append(Fault(FaultKind.FILE, name, message, hint, *place))

    def _expanded(self, name: str, text: str, line: int) -> str:
        """Fill `$(NAME)` in; one that is not defined before stays as it is, as in the cluster."""

        def value_of(found: re.Match[str]) -> str:
            referred = found.group(1)
            if referred is None:
                return "$"
            variable = self._builder.variables.get(referred)
            if variable is not None:
                return variable.value
            if not self._builder.promised.isdisjoint({referred, "*"}):
                return opaque(referred)
            return self._left(name, referred, found.group(), line)

        return fill_in(_REFERENCE, text, value_of)

    def _left(self, name: str, referred: str, text: str, line: int) -> str:
        is_secret = name == "DATABASE_URL" or is_secret_name(name) or is_secret_name(referred)
        lost = shown(referred)
        message = f"{name} holds $({lost}), which is not defined before it and stays as it is."
        hint = f"Define {lost} above it, in the same container."
        at_most = Severity.REFUSE if is_secret else Severity.WARNING
        place = (self._container.source, line)
        self._builder.faults.append(Fault(FaultKind.MARK, name, message, hint, *place, at_most))
        # What has this fault is not called an example too.
        return opaque(referred) if is_secret else text
