"""The services of compose files, put together: several files, `include` and `extends`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yaml.nodes import Node

from sidecar.config import dotenv
from sidecar.config.fault import Fault, FaultKind
from sidecar.lint.source.builder import PUT_RIGHT, shown, unusable
from sidecar.lint.source.file import Dialect, Loaded, load
from sidecar.lint.source.interpolation import Filling
from sidecar.lint.source.manifest import Documents, child, entries, items, line_of, text_of

_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A file of a project.

    Attributes:
        directory: What its paths are relative to.
        shell: What its references are filled in from: the shell, and `.env` beside it.
    """

    source: str
    directory: Path
    nodes: Documents = field(repr=False)
    shell: Mapping[str, str] = field(repr=False)

    def service(self, name: str) -> Node | None:
        """Return what the file says of a service."""
        found = (child(node, "services", name) for node in self.nodes)
        return next((each for each in found if each is not None), None)

    def services(self) -> Iterator[tuple[str, Node]]:
        """Yield every service by its name."""
        for node in self.nodes:
            yield from entries(child(node, "services")).items()


@dataclass(frozen=True, slots=True)
class Definition:
    """What one file says of a service."""

    node: Node
    file: ComposeFile


class Project:
    """Every service with what it is made of; of two definitions the later one wins.

    Attributes:
        services: By name.
        unread: Files and services that are referred to and cannot be read.

    The files are in the order of `docker compose -f`. References are filled in from the shell
    first, and from `.env` beside a file but for `alone`.
    """

    def __init__(
        self, files: Sequence[Loaded], shell: Mapping[str, str], *, alone: bool = False
    ) -> None:
        self.services: dict[str, list[Definition]] = {}
        self.unread: list[Fault] = []
        self._shell = shell
        self._taken: set[str] = set()
        self._opened: dict[Path, ComposeFile | None] = {}
        directory = files[0].path.parent
        self._alone = alone
        around = self._around(directory)
        for each in files:
            self._take(ComposeFile(each.source, directory, each.nodes, around))

    def _take(self, file: ComposeFile) -> None:
        """Take the services of a file, after those of the files that it includes."""
        for node in file.nodes:
            for path, place in _included(child(node, "include")):
                included = self._open(path, file, line_of(place))
                # Each once, for files may include each other.
                if included is not None and included.source not in self._taken:
                    self._taken.add(included.source)
                    self._take(included)
        for name, node in file.services():
            self.services.setdefault(name, []).extend(self._chain(node, file, 0))

    def _chain(self, node: Node, file: ComposeFile, depth: int) -> Iterator[Definition]:
        """Yield what a service extends, and what that extends, before itself."""
        extended = child(node, "extends")
        if extended is not None:
            name = text_of(extended) or text_of(child(extended, "service"))
            path = text_of(child(extended, "file"))
            place = line_of(extended)
            base = self._open(path, file, place) if path else file
            found = base.service(name) if base is not None and depth < _DEEPEST else None
            if base is not None and found is None:
                message = f"The service {shown(name)} that another extends cannot be found."
                where = (file.source, place)
                self.unread.append(Fault(FaultKind.FILE, file.source, message, PUT_RIGHT, *where))
            elif base is not None and found is not None:
                yield from self._chain(found, base, depth + 1)
        yield Definition(node, file)

    def _open(self, path: str, by: ComposeFile, line: int) -> ComposeFile | None:
        """Open a file that another one names; a fault in it is reported once."""
        text = Filling(by.shell).fill(path)
        place = by.directory / text
        if place not in self._opened:
            opened = self._load(place, text)
            self._opened[place] = None if isinstance(opened, str) else opened
            if isinstance(opened, str):
                hint = "Bring it here, and check again."
                self.unread.append(unusable(by.source, f"builds on {opened}", line, hint=hint))
        return self._opened[place]

    def _load(self, path: Path, named: str) -> ComposeFile | str:
        """Load a file that another one names, or return what it is instead."""
        if "://" in named:
            return f"{shown(named)}, which is not on this disk."
        found = load(path, Dialect.COMPOSE, by_file=True)
        if isinstance(found, Fault):
            return f"a file that cannot be read: {found.message}"
        if found.dialect is not Dialect.COMPOSE:
            return f"{found.source}, which is no compose file."
        return ComposeFile(found.source, path.parent, found.nodes, self._around(path.parent))

    def _around(self, directory: Path) -> dict[str, str]:
        beside = {} if self._alone else _dotenv_values(directory / ".env")
        return {**beside, **self._shell}


def _included(node: Node | None) -> Iterator[tuple[str, Node]]:
    for each in items(node):
        paths = child(each, "path")
        for one in items(paths) or (paths or each,):
            if text_of(one):
                yield text_of(one), one


def _dotenv_values(path: Path) -> dict[str, str]:
    loaded = load(path, Dialect.DOTENV, by_file=True) if path.is_file() else None
    if not isinstance(loaded, Loaded):
        return {}
    found, _ = dotenv.read(loaded.text, loaded.source)
    return {name: variable.value for name, variable in found.items()}
