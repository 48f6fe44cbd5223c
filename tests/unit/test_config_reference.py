import re
from datetime import UTC, datetime
from pathlib import Path

from sidecar.config.environ import Environ
from sidecar.config.settings import declarations
from sidecar.lint.linter import validate
from sidecar.lint.placeholder import shape_of
from sidecar.lint.rules import RULES
from tests.reference import tables

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / ".env.example").read_text()
LINES = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_the_example_file_has_every_variable_with_its_meaning() -> None:
    assert set(LINES) - {"NAME_FILE"} == {each.name for each in declarations()}
    for each in declarations():
        assert each.meaning[1:] in EXAMPLE


def test_every_secret_of_the_example_file_is_taken_for_a_placeholder() -> None:
    secrets = [name for name in LINES if name.endswith(("_KEY", "_TOKEN"))]

    assert len(secrets) == 5
    assert all(shape_of(LINES[name], name) for name in secrets)


def test_production_refuses_the_example_file() -> None:
    values = {name: LINES[name] for name in ("DATABASE_URL", "SECRET_KEY", "GEMINI_API_KEY")}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    verdict = validate(Environ.of(values | {"ENVIRONMENT": "production"}), now=now, repository=ROOT)
    refused = [(each.id, each.field) for each in verdict.findings if each.severity == "refuse"]

    assert refused == [("SEC02", name) for name in ("DATABASE_URL", "GEMINI_API_KEY", "SECRET_KEY")]


def test_the_tables_name_every_variable_and_every_rule() -> None:
    written = tables()
    variables, rules = written["variables"], written["rules"]

    assert "| `DB_POOL_MAX_SIZE` | 20 |" in variables
    assert "| `SIDECAR_DRAIN_DELAY_SECONDS` | 0 (production: 5) |" in variables
    assert all(f"| `{rule.id}` |" in rules for rule in RULES)
    assert rules.count("\n") == len(RULES) + 2
