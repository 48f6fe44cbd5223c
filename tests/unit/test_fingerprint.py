"""A projection's fingerprint changes with the code of its service, and with nothing else."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sidecar.wiring import fingerprint
from sidecar.wiring.fingerprint import fingerprint_of

PROJECTION = "class Totals:\n    def handle(self, event): return {}\n"
NAME = "fingerprinted_service"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / NAME
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "totals.py").write_text(PROJECTION.format(1))
    (package / "rates.py").write_text("RATE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]
    importlib.invalidate_caches()


def load() -> ModuleType:
    _forget()
    fingerprint._hash_sources.cache_clear()
    return importlib.import_module(f"{NAME}.totals")


def take(release: str = "") -> str:
    return fingerprint_of(load().Totals(), release)


@pytest.mark.parametrize("changed", ["totals.py", "rates.py"])
def test_it_changes_with_any_source_of_the_package_and_with_the_release(
    service: Path, changed: str
) -> None:
    first = take()
    assert take() == first
    assert take("2") != first
    source = service / changed
    kept = source.read_text()
    source.write_text(kept.replace("1", "2"))
    assert take() != first
    source.write_text(kept)
    assert take() == first


def test_a_new_or_moved_file_is_a_change(service: Path) -> None:
    first = take()
    (service / "rates.py").rename(service / "other.py")
    assert take() != first


def test_a_function_and_a_partial_have_one(service: Path) -> None:
    assert service.exists()
    module = load()
    assert fingerprint_of(module.Totals.handle, "") == fingerprint_of(module.Totals(), "")


def test_without_source_it_is_of_the_bytecode_and_says_of_which_python() -> None:
    spaces: list[dict[str, object]] = []
    for number in (1, 1, 2):
        space: dict[str, object] = {"__name__": "gone"}
        exec(compile(PROJECTION.format(number), "<gone>", "exec"), space)
        spaces.append(space)
    one, same, other = (fingerprint._hash_bytecode(space["Totals"]) for space in spaces)
    assert one == same != other
    assert one.startswith(f"{sys.implementation.cache_tag}-")
