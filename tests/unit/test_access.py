import io
import logging
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.config.option import LogFormat
from sidecar.config.secret import Secret
from sidecar.config.settings import Settings
from sidecar.config.token_file import TokenFile
from sidecar.telemetry.redaction import Redactor
from sidecar.wiring.access import KeptToken, address_of, open_access

ADDRESS = "http://127.0.0.1:8686"
LINK = rf"{re.escape(ADDRESS)}/login\?ticket=\d+\.[0-9a-f]{{64}}\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings(), data_directory=tmp_path / "data")


@pytest.mark.parametrize(
    ("stream", "log_format", "printed"),
    [
        (Terminal, LogFormat.AUTO, 1),
        (Terminal, LogFormat.TEXT, 1),
        (Terminal, LogFormat.JSON, 0),
        (io.StringIO, LogFormat.AUTO, 0),
    ],
)
def test_the_link_is_printed_once_and_only_where_a_person_reads_it(
    stream: type[io.StringIO],
    log_format: LogFormat,
    printed: int,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    for _ in range(2):
        kept = open_access(settings, Redactor())
        assert isinstance(kept, KeptToken)
        kept.announce(ADDRESS, log_format)

    told = shown.getvalue()
    assert len(re.findall(LINK, told)) == printed
    assert "ticket" not in caplog.text
    token = TokenFile(settings.data_directory).obtain()[0].reveal()
    assert token not in told + caplog.text


def test_a_made_token_is_masked_wherever_it_would_appear(settings: Settings) -> None:
    redact = Redactor([Secret("hunter2")])
    token = open_access(settings, redact)

    assert token is not None
    assert redact(f"hunter2 {token.reveal()}") == "*** ***"


def test_where_no_token_can_be_kept_the_start_goes_on_and_says_what_to_do(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").write_text("no directory")

    assert open_access(settings, Redactor()) is None
    assert "Set SIDECAR_TOKEN" in caplog.text


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("fd00::7", "http://[fd00::7]:1"),
    ],
)
def test_the_link_leads_where_a_browser_finds_the_server(host: str, address: str) -> None:
    assert address_of(host, 1) == address
