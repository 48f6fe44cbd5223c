from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.config.environ import Environ
from sidecar.config.project_rules import AI_KEYS, ProjectRules
from sidecar.config.severity import Severity
from sidecar.config.sidecar_file import read
from sidecar.lint import example
from sidecar.lint.finding import Finding
from sidecar.lint.linter import validate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def judge(directory: Path, **values: str) -> dict[str, Finding]:
    verdict = validate(Environ.of(values), now=NOW, repository=directory)
    return {each.id: each for each in verdict.findings}


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nx = 1\n")

    assert read(tmp_path) == (ProjectRules(), ())
    assert read(None) == (ProjectRules(), ())
    assert ProjectRules().any_of == {"ai": AI_KEYS}


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
        ("anyof = {}", "line 1: it contains the unknown field `anyof`"),
        ("required = 1", "required: expected"),
        ("[severity]\nDB01 = 'loud'", "severity"),
        ("[silenced]\nDB01 = ' '", "line 2: it silences DB01 without a reason"),
        ("\n\n[silenced]\nSEC04 = 'known'", "line 4: it silences SEC04, which cannot be"),
        ("[silenced.DB01]\nreason = 'x'\nuntil = 2025-12-31", "ended on 2025-12-31"),
        ("[severity]\nDB01 = 'info'\nSEC03 = 'info'", "line 3: it changes the severity of SEC03"),
        ("[pattern]\nSHOP_KEY = '('", "line 2: the pattern of SHOP_KEY"),
        ("[bytes]\nSHOP_KEY = 0", "line 2: the bytes of SHOP_KEY"),
        ("pairs = [['ONLY_ONE']]", "line 1: a pair has fewer than two names"),
        ("required = ['NOT A NAME']", "line 1: required has a name that no variable can have"),
    ],
)
def test_a_mistake_in_the_file_is_a_finding_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "sidecar.toml").write_text(text)

    found = judge(tmp_path, ENVIRONMENT="production")

    assert said in found["ENV07"].message
    assert found["ENV07"].severity is Severity.ERROR
    assert found["DB01"].silenced_by is None


def test_files_that_cannot_be_read_are_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").mkdir()
    (tmp_path / ".env.example").write_bytes(b"\xff\xfe")

    assert "cannot be read" in judge(tmp_path)["ENV07"].message
    assert example.read(tmp_path).values == {}


OWN = """
required = ["SHOP_KEY"]
any_of = {}
pairs = [["SHOP_ID", "SHOP_TOKEN"]]

[pattern]
STRIPE_KEY = "sk_live_.+"

[bytes]
CIPHER_KEY = 32

[deprecated]
OLD_URL = "NEW_URL"

[severity]
DB09 = { production = "error", staging = "info" }

[silenced]
DB04 = { reason = "a proxy", until = 2026-06-30, fields = ["DATABASE_URL"] }
"""
GIVEN = {
    "SHOP_ID": "7",
    "STRIPE_KEY": "rk_live_51H8s9dKj3Lm2Qw7Er5Ty9Ui",
    "CIPHER_KEY": "9f2c7d41b8e603a5c4d7f1928e6b3a50",
    "OLD_URL": "http://shop",
    "DATABASE_URL": "postgresql://shop:Zr4tQ9wLk2Vn7Xc1@127.0.0.1/orders",
}


def found_by_field(directory: Path, **values: str) -> set[tuple[str, str, str]]:
    verdict = validate(Environ.of(GIVEN | values), now=NOW, repository=directory)
    active = (each for each in verdict.findings if each.is_active)
    return {(each.id, each.field, each.severity.value) for each in active}


def test_rules_of_ones_own_are_applied_by_environment(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").write_text(OWN)
    production = found_by_field(tmp_path, ENVIRONMENT="production")
    staging = found_by_field(tmp_path, ENVIRONMENT="staging")

    assert production >= {
        ("SEC01", "SHOP_KEY", "refuse"),
        ("SEC12", "SHOP_TOKEN", "refuse"),
        ("ENV08", "STRIPE_KEY", "refuse"),
        ("SEC10", "CIPHER_KEY", "refuse"),
        ("ENV05", "OLD_URL", "warning"),
        ("DB09", "DB_POOL_MIN_SIZE", "error"),
    }
    assert ("DB09", "DB_POOL_MIN_SIZE", "info") in staging
    assert "DB04" not in {rule for rule, _, _ in production}


def test_rules_of_ones_own_are_quiet_where_they_are_met(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").write_text(OWN)
    met = {
        "SHOP_KEY": "Kf3vQ8mZr1Xc6Tn0Wb5Lp9Hd4Ys7Jg2A",
        "SHOP_TOKEN": "Qm7Xv2Lr9TzWb4NcYd1KfGs6JpEu0AHh",
        "STRIPE_KEY": "sk_live_51H8s9dKj3Lm2Qw7Er5Ty9Ui",
        "CIPHER_KEY": "nyx9Qbjm2KXE1/GSjms6UNHI5H8rlqMFHn2MT2orkDU=",
    }
    found = found_by_field(tmp_path, ENVIRONMENT="production", **met)

    assert {"SHOP_KEY", "SHOP_TOKEN", "STRIPE_KEY", "CIPHER_KEY"}.isdisjoint(
        {field for _, field, _ in found}
    )


def test_a_silence_ends_on_its_day(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").write_text(OWN)
    environ = Environ.of(GIVEN | {"ENVIRONMENT": "production"})
    later = datetime(2026, 7, 1, tzinfo=UTC)
    verdict = validate(environ, now=later, repository=tmp_path)
    findings = {each.id: each for each in verdict.findings}

    assert findings["DB04"].is_active
    assert "ended on 2026-06-30" in findings["ENV07"].message


def test_what_is_right_holds_beside_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").write_text("any_of = {}\nrequired = 1\n")

    assert "SEC11" not in judge(tmp_path, ENVIRONMENT="production")
