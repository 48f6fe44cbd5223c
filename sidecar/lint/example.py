"""What the repository itself publishes as values, and what must therefore not be used."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.lint.published import is_unmistakable
from sidecar.lint.source.builder import DeploymentBuilder
from sidecar.lint.source.file import Dialect
from sidecar.lint.source.files import read as read_files

_USUAL_NAMES = """
.env.example .env.sample .env.template .env.dist .env.defaults env.example example.env sample.env
compose.yaml compose.yml docker-compose.yaml docker-compose.yml docker-compose.override.yml
docker-compose.dev.yml
"""


@dataclass(frozen=True, slots=True)
class Examples:
    """Values that are known to all who can read the repository.

    Attributes:
        values: By variable; a name may have several, in several files.
    """

    values: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def has(self, name: str, value: str) -> bool:
        """Return True when a value stands there, for this variable or unmistakably for another."""
        return value in self.values.get(name, ()) or (
            is_unmistakable(value) and any(value in known for known in self.values.values())
        )


def read(repository: Path | None, files: Iterable[Path] = ()) -> Examples:
    """Return the values of a repository's usual files and of more; none of what cannot be read."""
    usual = [] if repository is None else [repository / name for name in _USUAL_NAMES.split()]
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in (*usual, *files):
        for name, value in _values(path):
            found[name].add(value)
    return Examples({name: frozenset(values) for name, values in found.items()})


def unread(files: Iterable[Path]) -> tuple[str, ...]:
    """Return why files that a person named cannot be compared with."""
    return tuple(reason for path in files for reason in _why_unread(path))


def _why_unread(path: Path) -> list[str]:
    if path.exists() and not path.is_file():
        return [f"{path} is something that is not a regular file."]
    return [f"{each.message} {each.hint}" for each in _published(path).unread]


def _values(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    given = (each for one in _published(path).workloads for each in one.variables.values())
    return [(each.name, each.value) for each in given if each.value]


def _published(path: Path) -> DeploymentBuilder:
    is_manifest = path.suffix.lower() in {".yaml", ".yml", ".json"}
    dialect = Dialect.AUTO if is_manifest else Dialect.DOTENV
    # Env files and `.env` beside it are kept out of repositories.
    return read_files([path], dialect=dialect, alone=True)
