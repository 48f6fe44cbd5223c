import dataclasses
import datetime as dt
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner, Result

from sidecar.cli.invocation import SidecarGroup
from sidecar.cli.printing import print_rows
from sidecar.cli.progress import Meter
from sidecar.errors import ProjectionError, SidecarError, TargetError, UsageError
from tests.incidents.program import environment, finish

COMMANDS = {
    "serve",
    "run",
    "check",
    "demo",
    "migrate",
    "projections",
    "dead-letters",
    "secret",
}


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    lag_seconds: float = 0.25
    at: dt.datetime = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    owners: tuple[str, ...] = ("a", "b")
    detail: str | None = None

    columns: ClassVar = {
        "name": "NAME",
        "lag_seconds": "LAG",
        "at": "AT",
        "owners": "OWNERS",
        "detail": "DETAIL",
    }


def run(error: Exception) -> Result:
    @click.group(cls=SidecarGroup)
    def group() -> None: ...

    @group.command()
    def act() -> None:
        raise error

    return CliRunner().invoke(group, ["act"])


def print_as(output: str, *rows: Row) -> str:
    @click.command()
    def act() -> None:
        print_rows(rows, Row.columns, output=output, empty="Nothing.")

    return CliRunner().invoke(act).stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("Say which."), 2),
        (TargetError("No such target."), 2),
        (ProjectionError("No such projection."), 1),
        (SidecarError("It failed."), 1),
    ],
)
def test_error_of_ours_is_a_sentence_and_an_exit_code(error: SidecarError, code: int) -> None:
    result = run(error)
    assert result.exit_code == code
    assert (result.stdout, result.stderr) == ("", f"Error: {error}\n")


def test_error_that_is_a_bug_is_not_hidden() -> None:
    assert isinstance(run(ZeroDivisionError()).exception, ZeroDivisionError)


def test_rows_are_json_for_machines() -> None:
    assert json.loads(print_as("json", Row("x"), Row("y", detail="why"))) == [
        {
            "name": name,
            "lag_seconds": 0.25,
            "at": "2026-01-02T03:04:05Z",
            "owners": ["a", "b"],
            "detail": detail,
        }
        for name, detail in (("x", None), ("y", "why"))
    ]
    assert json.loads(print_as("json")) == []


def test_rows_are_a_table_for_people_that_nothing_cuts_off() -> None:
    long = "x" * 300
    head, row = print_as("text", Row(long)).splitlines()
    assert head.split() == ["NAME", "LAG", "AT", "OWNERS", "DETAIL"]
    assert row.split() == [long, "0.2", "2026-01-02", "03:04:05+00:00", "a,", "b", "-"]
    assert print_as("text") == "Nothing.\n"


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    assert "[red]x[/red]" in print_as("text", Row("[red]x[/red]"))


def test_long_work_is_told_in_plain_lines_away_from_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(now_mono=100.0)
    clock.monotonic = lambda: clock.now_mono
    monkeypatch.setattr("sidecar.cli.progress.time", clock)
    with Meter("rebuilding totals", 1) as meter:
        for now_mono, done in ((110.0, 1000), (111.0, 1100), (120.0, 4000)):
            clock.now_mono = now_mono
            meter.show(done, 4000)
    assert capsys.readouterr().out.splitlines() == [
        "rebuilding totals: 1000 of 4000, 100/s, about 30 s left",
        "rebuilding totals: 4000 of 4000, 200/s, about 0 s left",
    ]


def test_help_names_every_command(tmp_path: Path) -> None:
    ended = finish(tmp_path, "--help")
    assert (ended.code, ended.err) == (0, "")
    named = set(re.findall(r"^  ([a-z-]+) ", ended.out, re.MULTILINE))
    assert named >= COMMANDS


def test_secret_is_good_and_never_the_same(tmp_path: Path) -> None:
    first, second = (finish(tmp_path, "secret") for _ in range(2))
    assert (first.code, first.err) == (0, "")
    assert len(first.out.strip()) >= 32
    assert first.out != second.out


@pytest.mark.parametrize(("name", "code"), [("development", 0), ("production", 78)])
def test_check_prints_json_alone_and_tells_by_its_exit_code(
    tmp_path: Path, name: str, code: int
) -> None:
    ended = finish(tmp_path, "check", "--format", "json", ENVIRONMENT=name)
    assert ended.code == code
    assert json.loads(ended.out)["environment"] == name


def test_run_and_serve_refuse_what_check_refuses(tmp_path: Path) -> None:
    environ = environment(tmp_path, ENVIRONMENT="production", SIDECAR_AGENT_PORT="0")
    for arguments in (["run", "service:publisher"], ["serve", "--port", "0"]):
        ended = finish(tmp_path, *arguments, **environ)
        assert ended.code == 78, ended
        assert "Traceback" not in ended.out + ended.err
