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
from sidecar.lint.source.kubernetes_store import Stores, files_of
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


def read(files: Sequence[Loaded], part: str | None = None) -> DeploymentBuilder:
    """Read what each container would be given; without containers, what each store holds.

    What comes from a Secret or ConfigMap that is in none of the files is promised, not judged.
    The `part` is the name of one container, or of its workload as findings show it.
    """
    deployment = DeploymentBuilder()
    objects = [(file.source, each) for file in files for each in _objects(file)]
    stores = Stores()
    for source, node in objects:
        deployment.faults += stores.take(node, source)
    containers = [each for source, node in objects for each in _containers(node, source, stores)]
    for container in containers:
        if part not in {None, container.name, container.builder.name}:
            continue
        if not deployment.has_room(container.source):
            return deployment
        deployment.workloads.append(container.read())
    if not containers:
        deployment.workloads += stores.workloads()
    if files and not deployment.workloads:
        deployment.unread.append(_absence(files[0].source, containers, part))
    return deployment


def _absence(source: str, containers: Sequence["_Container"], part: str | None) -> Fault:
    if containers and part is not None:
        names = ", ".join(dict.fromkeys(each.name for each in containers))
        what = f"has no such container; it has {names}."
        return unusable(source, what, hint="Correct --part.")
    what = "holds no container, and no Secret or ConfigMap of variables."
    return unusable(source, what, hint="Give the files that start containers.")


def _objects(file: Loaded) -> Iterator[Node]:
    for node in file.nodes:
        if text_of(child(node, "kind")).endswith("List"):
            yield from items(child(node, "items"))
        else:
            yield node


def _containers(node: Node, source: str, stores: Stores) -> Iterator["_Container"]:
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
                is_native_sidecar = text_of(child(each, "restartPolicy")) == "Always"
                builder = WorkloadBuilder(
                    " > ".join((*parts, f"{called} {name}".strip())),
                    ends_early=key == "initContainers" and not is_native_sidecar,
                    source=source,
                    line=line_of(each),
                )
                yield _Container(each, pod, source, namespace, name, stores, builder)


@dataclass(slots=True)
class _Container:
    """Reads `envFrom` and `env` of one container, in the kubelet's order."""

    node: Node
    pod: Node | None
    source: str
    namespace: str
    name: str
    stores: Stores
    builder: WorkloadBuilder

    def read(self) -> WorkloadBuilder:
        """Return the container's environment."""
        for each in items(child(self.node, "envFrom")):
            self._take_store(each)
        listed = WorkloadBuilder()
        for each in items(child(self.node, "env")):
            self._take_entry(each, listed)
        self.builder.faults += listed.faults
        self.builder.mount(files_of(self.pod, self.node, self.namespace, self.stores))
        return self.builder

    def _take_store(self, node: Node) -> None:
        prefix = text_of(child(node, "prefix"))
        for reference, kind in _WHOLE_REFERENCES.items():
            found = child(node, reference)
            store = self.stores.find(kind, self.namespace, text_of(child(found, "name")))
            if store is not None:
                for variable in store.variables(prefix):
                    self.builder.set(variable)
            elif found is not None:
                # Any variable may be in there: nothing can be called missing.
                self.builder.promised.add("*")

    def _take_entry(self, node: Node, listed: WorkloadBuilder) -> None:
        name = text_of(child(node, "name"))
        if not is_plain_name(name):
            return
        given, reference = child(node, "value"), child(node, "valueFrom")
        line = line_of(given or reference or node)
        if reference is not None:
            found = self._referred(name, reference)
        else:
            text = self._expanded(name, text_of(given), line)
            found = Variable(name, text, self.source, line)
        # One name twice in the list is a slip; over one of a whole Secret it is meant.
        listed.put(Variable(name, "", self.source, line_of(node)))
        if found is not None:
            self.builder.set(found)

    def _referred(self, name: str, node: Node) -> Variable | None:
        for reference, kind in _KEY_REFERENCES.items():
            found = child(node, reference)
            store = self.stores.find(kind, self.namespace, text_of(child(found, "name")))
            key = text_of(child(found, "key"))
            if store is not None and key in store.values:
                return replace(store.values[key], name=name)
            if store is not None and store.lacks(key):
                if text_of(child(found, "optional")) == "true":
                    return None
                self._tell_no_key(name, f"key {shown(key)} of {kind} {store.name}", node)
        self.builder.promise(name)
        return None

    def _tell_no_key(self, name: str, what: str, node: Node) -> None:
        message = f"{name} is the {what}, and there is no such key."
        hint = (
            "Add the key, or correct its name; the container does not start without it "
            "(CreateContainerConfigError)."
        )
        place = (self.source, line_of(node))
        self.builder.faults.append(Fault(FaultKind.FILE, name, message, hint, *place))

    def _expanded(self, name: str, text: str, line: int) -> str:
        """Fill `$(NAME)` in; one that is not defined before stays as it is, as in the cluster."""

        def value_of(found: re.Match[str]) -> str:
            referred = found.group(1)
            if referred is None:
                return "$"
            variable = self.builder.variables.get(referred)
            if variable is not None:
                return variable.value
            if not self.builder.promised.isdisjoint({referred, "*"}):
                return opaque(referred)
            return self._left(name, referred, found.group(), line)

        return fill_in(_REFERENCE, text, value_of)

    def _left(self, name: str, referred: str, text: str, line: int) -> str:
        is_secret = name == "DATABASE_URL" or is_secret_name(name) or is_secret_name(referred)
        lost = shown(referred)
        message = f"{name} holds $({lost}), which is not defined before it and stays as it is."
        hint = f"Define {lost} above it, in the same container."
        place = (self.source, line, Severity.REFUSE if is_secret else Severity.WARNING)
        self.builder.faults.append(Fault(FaultKind.MARK, name, message, hint, *place))
        # What has this fault is not called an example too.
        return opaque(referred) if is_secret else text
