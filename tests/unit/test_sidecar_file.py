from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.config import example
from sidecar.config.environ import Environ
from sidecar.config.finding import Finding
from sidecar.config.sidecar_file import AI_KEYS, SidecarFile, read
from sidecar.config.verdict import validate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def judge(directory: Path, **values: str) -> dict[str, Finding]:
    verdict = validate(Environ.of(values), now=NOW, repository=directory)
    return {each.id: each for each in verdict.findings}


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nx = 1\n")

    assert read(tmp_path) == (SidecarFile(), ())
    assert read(None) == (SidecarFile(), ())
    assert SidecarFile().any_of == {"ai": AI_KEYS}


@pytest.mark.parametrize(
    ("name", "text"),
    [("sidecar.toml", "any_of = {}"), ("pyproject.toml", "[tool.sidecar]\nany_of = {}")],
)
def test_one_line_switches_the_ai_key_off(tmp_path: Path, name: str, text: str) -> None:
    before = judge(tmp_path, ENVIRONMENT="production")
    (tmp_path / name).write_text(text)
    after = judge(tmp_path, ENVIRONMENT="production")

    assert "any_of = {}" in before["SEC11"].hint
    assert "SEC11" not in after


def test_own_secrets_severities_and_silences_are_applied(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").write_text(
        'required = ["STRIPE_KEY"]\n'
        "[severity]\nDB01 = 'warning'\n"
        "[silenced]\nSEC11 = 'the key is set by the gateway'\n"
    )
    verdict = validate(Environ.of({"ENVIRONMENT": "production"}), now=NOW, repository=tmp_path)
    found = {(each.id, each.field): each for each in verdict.findings}

    assert ("SEC01", "STRIPE_KEY") in found
    assert found["DB01", "DATABASE_URL"].severity == "warning"
    assert found["SEC11", "GEMINI_API_KEY"].silenced_by == "the key is set by the gateway"
    assert verdict.findings[-1].id == "SEC11"


def test_a_published_secret_cannot_be_silenced(tmp_path: Path) -> None:
    published = "q8Zt3Lw0Vn5Xc7Rb2Km9Pd4Hs6Jf1Ga_"
    (tmp_path / ".env.example").write_text(f"SECRET_KEY={published}\n")
    (tmp_path / "sidecar.toml").write_text("[silenced]\nSEC03 = 'we know'\n")

    found = judge(tmp_path, ENVIRONMENT="production", SECRET_KEY=published)

    assert found["SEC03"].severity == "refuse"
    assert found["SEC03"].silenced_by is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("any_of = {\nx", "line 1"),
        ("anyof = {}", "unknown field `anyof`"),
        ("required = 1", "$.required"),
        ("[severity]\nDB01 = 'loud'", "severity"),
        ("[silenced]\nDB01 = ' '", "without a reason"),
    ],
)
def test_a_mistake_in_the_file_is_a_finding_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "sidecar.toml").write_text(text)

    found = judge(tmp_path, ENVIRONMENT="production")

    assert said in found["ENV07"].message
    assert found["DB01"].silenced_by is None


def test_files_that_cannot_be_read_are_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").mkdir()
    (tmp_path / ".env.example").write_bytes(b"\xff\xfe")

    assert "cannot be read" in judge(tmp_path)["ENV07"].message
    assert example.read(tmp_path) == {}
