"""Nothing foreign that a terminal would obey reaches one, whatever says it."""

import json
import logging
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.cli import main
from sidecar.cli.invocation import SidecarGroup
from sidecar.errors import UsageError
from sidecar.telemetry.logs import JsonFormatter, TextFormatter
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.terminal import Screen, say, say_json
from sidecar.telemetry.uncaught import redact_uncaught
from sidecar.telemetry.visible import visible, visible_json, visible_lines

JOINERS = "\u200c\u200d"
EVIL = (
    "\x1b]52;c;cHduZWQK\x07 \x1b[2J \x9b31m \x1b]0;title\x9c \r forged \x7f "
    "\u202etxt.exe \u2066 \u2028 \ufeff \u200b \U000e0041 \x00 \x85 \xad"
)
MARKUP = "[bold red]x[/bold red] [link=https://evil.example]y[/link]"


def obeyed(text: str) -> set[str]:
    """Give what a terminal would not just print."""
    hidden = {
        letter
        for letter in text
        if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and letter not in JOINERS
    }
    return hidden - {"\n"}


@given(st.text() | st.text(st.characters(categories=["Cc", "Cs", "Zl", "Zp"])))
def test_a_text_is_one_line_of_letters(text: str) -> None:
    assert obeyed(visible(text)) == set()
    assert "\n" not in visible(text)
    assert obeyed(visible_lines(text)) <= {"\t"}
    assert visible_lines(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ada",
        "żółć 注文 🛒",
        "\U0001f469\u200d\U0001f4bb",
        "\u0645\u06cc\u200c\u062e\u0648",
        r"a\b",
    ],
)
def test_what_is_only_printed_stays_as_it_is(text: str) -> None:
    assert visible(text) == visible_lines(text) == visible_json(text) == text


@given(st.dictionaries(st.text(), st.text(), max_size=3))
@example({"DEL": "\x7f"})
@example({"\U00013430": "a joiner of hieroglyphs"})
def test_json_stays_the_same_document(value: dict[str, str]) -> None:
    written = visible_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(written) == value
    assert obeyed(written) == set()


def test_each_way_of_saying_shows_what_is_foreign(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    say(EVIL)
    say(EVIL, err=True)
    say_json({EVIL: [EVIL, MARKUP]})
    screen.say(MARKUP, (EVIL, "bold"))
    screen.table(["NAME"], [[EVIL], [MARKUP], ["two\nlines"]])

    told = capsys.readouterr()
    assert obeyed(told.out + told.err) == set()
    assert "\\x1b]52;c;" in told.out
    assert told.out.count(MARKUP) == 3
    assert "two\\nlines" in told.out


def test_a_table_shows_it_on_a_terminal_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "1000")
    Screen().table(["NAME"], [[EVIL]])
    with Screen().progress() as bar:
        bar.add_task(visible(f"{EVIL} {MARKUP}"), total=1, rate=0.0)

    out = capsys.readouterr().out
    assert "\x1b]" not in out
    assert "\x9b" not in out
    assert "\x1b[2J" not in out
    assert "\u202e" not in out
    assert "[bold red]x[/bold red]" in out


@pytest.mark.parametrize("error", [UsageError(EVIL), click.UsageError(EVIL), click.FileError(EVIL)])
def test_an_error_shows_it(error: Exception) -> None:
    @click.group(cls=SidecarGroup)
    def group() -> None: ...

    @group.command()
    def act() -> None:
        raise error

    told = CliRunner().invoke(group, ["act"]).output
    assert "\\x1b]52;c;" in told
    assert obeyed(told) == set()


@pytest.mark.parametrize(
    "words",
    [
        [EVIL],
        [f"--{EVIL}"],
        ["serve", "shop:publisher", EVIL],
        ["dead-letters", "show", EVIL],
        ["dead-letters", "list", f"--{EVIL}"],
        ["projections", EVIL],
        ["check", "--format", EVIL],
        ["check", "--env-file", EVIL],
    ],
)
def test_what_was_typed_comes_back_shown(words: list[str]) -> None:
    # No argument can hold a NUL.
    told = CliRunner().invoke(main, [word.replace("\x00", "") for word in words])

    assert isinstance(told.exception, SystemExit | None)
    assert obeyed(told.output) == set()


@pytest.mark.parametrize("output", ["text", "github", "json", "sarif"])
def test_the_findings_about_a_hostile_file_show_it(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = EVIL.replace("\x00", "").replace("/", "") + ".env"
    (tmp_path / name).write_text(
        f"ENVIRONMENT={EVIL}\nSIDECAR_PORT={EVIL}\nSECRET_KEY={EVIL}\nSIDECAR_\x1b]0;x\x07=1\n"
    )
    told = CliRunner().invoke(main, ["check", "--env-file", name, "--format", output])

    assert "SECRET_KEY" in told.output
    assert obeyed(told.output) == set()


def record(error: Exception | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    return logging.LogRecord(EVIL, logging.ERROR, "x.py", 1, f"said {EVIL}\nforged", None, info)


def test_a_line_of_the_log_shows_it() -> None:
    text = TextFormatter(Redactor()).format(record())
    assert obeyed(text) == set()
    assert len(text.splitlines()) == 1
    text = TextFormatter(Redactor()).format(record(ValueError(EVIL)))
    assert obeyed(text) == set()

    line = JsonFormatter("shop", "app", Redactor()).format(record(ValueError(EVIL)))
    assert obeyed(line) == set()
    assert json.loads(line)["message"] == f"said {EVIL}\nforged"


@pytest.fixture
def hooks() -> Iterator[None]:
    before = sys.excepthook, threading.excepthook
    redact_uncaught(Redactor())
    yield
    sys.excepthook, threading.excepthook = before


def test_an_error_that_nobody_catches_shows_it(
    hooks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.excepthook(ValueError, ValueError(EVIL), None)

    told = capsys.readouterr().err
    assert "\\x1b]52;c;" in told
    assert obeyed(told) == set()
