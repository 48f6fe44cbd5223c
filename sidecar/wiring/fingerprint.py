"""Which code a projection is made of: it changes when the code does, and with nothing else."""

import hashlib
import marshal
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from sidecar.projections.projection_group import ProjectionGroup

LENGTH: Final = 16


def fingerprint_of(target: object, release: str) -> str:
    """Return the fingerprint of what a projection or handler is made of.

    That is the source of all of its top-level package, since its handler may call any of it, and
    the service's own version for what lies outside. Without source it is the bytecode of the
    object's own class or function, which another version of Python compiles to something else.

    Args:
        target: The object as it was added to the publisher.
        release: Version of the service; empty where it has none.
    """
    if isinstance(target, ProjectionGroup):
        return _join([fingerprint_of(member, release) for member in target.members])
    owner = target if hasattr(target, "__code__") else type(target)
    module = sys.modules.get(str(getattr(owner, "__module__", "")))
    source = "" if module is None else _hash_sources(module.__name__.partition(".")[0])
    return _join([source or _hash_bytecode(owner), release])


@cache
def _hash_sources(name: str) -> str:
    """Hash the source files of a top-level module; empty where there are none."""
    module = sys.modules.get(name)
    files = [] if module is None else sorted(_list_sources(module))
    return _join(part for place, path in files for part in (place, path.read_bytes()))


def _list_sources(module: ModuleType) -> Iterable[tuple[str, Path]]:
    for folder in map(Path, getattr(module, "__path__", ())):
        for path in folder.rglob("*.py"):
            yield path.relative_to(folder).as_posix(), path
    file = getattr(module, "__file__", None)
    if file and not hasattr(module, "__path__") and file.endswith(".py") and Path(file).is_file():
        yield "", Path(file)


def _hash_bytecode(owner: object) -> str:
    codes = [getattr(each, "__code__", None) for each in (owner, *vars(owner).values())]
    parts = [marshal.dumps(code) for code in codes if isinstance(code, CodeType)]
    return f"{sys.implementation.cache_tag}-{_join(parts)}"


def _join(parts: Iterable[str | bytes]) -> str:
    """Hash parts, so that no two lists of them are one; empty for none."""
    digest, is_empty = hashlib.sha256(), True
    for part in parts:
        text = part.encode() if isinstance(part, str) else part
        digest.update(len(text).to_bytes(8, "big") + text)
        is_empty = False
    return "" if is_empty else digest.hexdigest()[:LENGTH]
