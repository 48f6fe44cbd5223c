"""Finding out what kind of file it is, and reading it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from sidecar.config.bounded import FileTooLargeError, read_bounded
from sidecar.config.finding import Sighting
from sidecar.config.mount import reason_of
from sidecar.config.source import compose, docker, doppler, dotenv, kubernetes, manifest
from sidecar.config.source.reading import Reading, unusable

_LIMIT_BYTES = 8 * 1024 * 1024
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")


class Dialect(StrEnum):
    """Who would read the file; `auto` goes by its ending and content."""

    AUTO = "auto"
    DOCKER = "docker"
    DOTENV = "dotenv"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"
    DOPPLER = "doppler"


def read(
    path: Path,
    *,
    dialect: Dialect = Dialect.AUTO,
    shell: Mapping[str, str] | None = None,
    part: str | None = None,
) -> Reading:
    """Read a file; whatever is wrong with it becomes a sighting.

    Args:
        path: The file.
        dialect: Who would read it.
        shell: What names without a value and `${NAME}` are taken from.
        part: The service of a compose file, or the container of a manifest.
    """
    source, given = str(path), shell or {}
    try:
        text = _text(path)
    except FileTooLargeError:
        return Reading(sightings=[unusable(source, f"{source} is a file larger than 8 MiB.")])
    except (OSError, ValueError) as error:
        return Reading(sightings=[unusable(source, f"{source} is {reason_of(error)}.")])
    reading = _parse(path, text, _kind(path, dialect), given, part)
    if (fault := _undecodable(text, source)) is not None:
        reading.sightings.append(fault)
    return reading


def _parse(
    path: Path, text: str, dialect: Dialect, shell: Mapping[str, str], part: str | None
) -> Reading:
    match dialect:
        case Dialect.DOPPLER:
            return doppler.read(text, str(path))
        case Dialect.DOTENV:
            return dotenv.read(text, str(path))
        case Dialect.COMPOSE:
            return _read_manifest(path, text, shell, part)
        case _:
            return docker.read(text, str(path), shell)


def _kind(path: Path, dialect: Dialect) -> Dialect:
    if dialect is Dialect.KUBERNETES:
        return Dialect.COMPOSE
    if dialect is not Dialect.AUTO:
        return dialect
    endings = {".json": Dialect.DOPPLER, ".yaml": Dialect.COMPOSE, ".yml": Dialect.COMPOSE}
    return endings.get(path.suffix.lower(), Dialect.DOCKER)


def _read_manifest(path: Path, text: str, shell: Mapping[str, str], part: str | None) -> Reading:
    source = str(path)
    try:
        nodes = manifest.documents(text)
    except manifest.ManifestError as error:
        place = "" if error.line is None else f", from line {error.line} on"
        return Reading(sightings=[unusable(source, f"{source} is not YAML{place}.", error.line)])
    if compose.is_compose(nodes):
        beside = {**_dotenv_values(path.parent / ".env"), **shell}

        def read_env_file(name: str) -> Reading:
            return read(path.parent / name, dialect=Dialect.DOTENV, shell=beside)

        return compose.read(nodes, source, beside, read_env_file, part)
    if kubernetes.is_kubernetes(nodes):
        return kubernetes.read(nodes, source, part)
    message = f"{source} is neither a compose file nor a Kubernetes manifest."
    return Reading(sightings=[unusable(source, message)])


def _dotenv_values(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    found = read(path, dialect=Dialect.DOTENV).variables
    return {name: variable.value for name, variable in found.items()}


def _text(path: Path) -> str:
    """Read the file with undecodable bytes as lone surrogates, so that their line can be told."""
    return read_bounded(path, _LIMIT_BYTES).decode("utf-8", "surrogateescape")


def _undecodable(text: str, source: str) -> Sighting | None:
    found = _NOT_UTF8.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    hint = "Save the file as UTF-8."
    return unusable(source, f"{source} is not UTF-8 text, in line {line}.", line, hint=hint)
