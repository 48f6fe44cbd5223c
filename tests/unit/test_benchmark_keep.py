"""`make bench ARGS=--keep` keeps whole runs only."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.benchmarks import __main__ as program
from tests.benchmarks.kept import read_kept
from tests.benchmarks.measure import Pair, no_limit, ours_at_most
from tests.benchmarks.measure import Result as Figure

NAMES = [name for benchmark in program.BENCHMARKS for name in benchmark.names]


def figures(*names: str) -> list[Figure]:
    return [Figure(name, "ms", Pair(1.0), no_limit()) for name in names]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(program, "keep", lambda results, _machine: found.extend(results))
    return found


def bench(monkeypatch: pytest.MonkeyPatch, *results: Figure) -> Result:
    async def measure(*_: object) -> program.Outcome:
        return program.Outcome(list(results), "a machine", all_ran=True)

    monkeypatch.setattr(program, "measure", measure)
    return CliRunner().invoke(program.main, ["--keep"])


def test_a_run_that_left_a_benchmark_out_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, kept: list[Any]
) -> None:
    ran = bench(monkeypatch, *figures(*(set(NAMES) - {"catchup-peer", "configuration"})))
    assert (ran.exit_code, kept) == (1, [])
    assert "catchup-peer, configuration" in ran.output


def test_a_whole_run_is_kept_with_the_limits_that_it_missed(
    monkeypatch: pytest.MonkeyPatch, kept: list[Any]
) -> None:
    slow = Figure(NAMES[-1], "ms", Pair(2.0), ours_at_most(1.0, "ms"))
    ran = bench(monkeypatch, *figures(*NAMES[:-1]), slow)
    assert (ran.exit_code, len(kept)) == (0, len(NAMES))
    assert not kept[-1].holds


def test_the_kept_run_has_every_row_once() -> None:
    assert sorted(row.name for row in read_kept().rows) == sorted(NAMES)
