import json
from datetime import UTC, datetime
from pathlib import Path

from msgspec.json import encode

from sidecar.config.environ import Environ
from sidecar.lint import render
from sidecar.lint.config_report import Status, length_bucket
from sidecar.lint.linter import Verdict, validate
from sidecar.lint.result import LintResult

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def judge(repository: Path | None = None, **values: str) -> Verdict:
    return validate(Environ.of(values), now=NOW, repository=repository)


def test_the_report_is_json_with_every_part() -> None:
    report = judge(ENVIRONMENT="production").report(NOW)
    document = json.loads(encode(report.as_dict()))

    assert document["status"] == "refused"
    assert document["environment"] == "production"
    assert document["generated_at"] == "2026-01-02T03:04:05Z"
    assert set(document["findings"][0]) == {
        "id",
        "severity",
        "field",
        "message",
        "hint",
        "source",
        "refs",
        "silenced_by",
    }
    assert document == json.loads(json.dumps(report.as_dict()))


def test_the_status_is_the_worst_active_finding(tmp_path: Path) -> None:
    assert judge(DB_POOL_MIN_SIZE="0").report(NOW).status is Status.INVALID
    assert judge().report(NOW).status is Status.WARNINGS

    (tmp_path / "sidecar.toml").write_text(
        "any_of = {}\n[silenced]\nSEC01 = 'a local tool'\nDB01 = 'has none'\n"
    )
    verdict = judge(tmp_path, ENVIRONMENT="production")

    assert verdict.report(NOW).status is Status.OK
    assert not verdict.refused
    assert [each.silenced_by for each in verdict.findings if each.id == "SEC01"] == ["a local tool"]


def test_a_setting_shows_its_value_only_where_its_form_allows() -> None:
    shown = (
        judge(
            DATABASE_URL="postgresql://u7:p7@db:5433/shop?password=q7",
            SECRET_KEY="s" * 40,
            SIDECAR_PORT="99",
            SIDECAR_APP_URL="http://app:8000/health",
            OTEL_SERVICE_NAME="shop",
            SIDECAR_HOST="some-name",
        )
        .report(NOW)
        .settings
    )

    assert shown["DATABASE_URL"] == {
        "set": True,
        "source": "environment",
        "scheme": "postgresql",
        "host": "db",
        "port": 5433,
        "database": "shop",
    }
    assert shown["SECRET_KEY"] == {"set": True, "source": "environment", "length": "32-63"}
    assert shown["SIDECAR_PORT"] == {"set": True, "source": "environment", "value": 99}
    assert shown["SIDECAR_WORKERS"] == {"set": False, "source": "default", "value": 1}
    assert shown["SIDECAR_APP_URL"]["host"] == "app"
    assert shown["OTEL_SERVICE_NAME"] == {"set": True, "source": "environment"}
    assert shown["SIDECAR_HOST"] == {"set": True, "source": "environment"}


def test_lengths_are_told_in_powers_of_two() -> None:
    lengths = [0, 1, 2, 31, 32, 63, 64, 127, 128, 10**6]

    assert [length_bucket(length) for length in lengths] == [
        "0",
        "1-1",
        "2-3",
        "16-31",
        "32-63",
        "32-63",
        "64-127",
        "64-127",
        "128+",
        "128+",
    ]


def states(verdict: Verdict) -> dict[str, str]:
    return {item.id: item.state.value for item in verdict.checklist}


def test_the_checklist_is_open_where_production_would_complain_also_in_development() -> None:
    assert states(judge(DEBUG="1", ENABLE_DOCS="1", CORS_ORIGINS="*")) == {
        "database": "open",
        "ai_key": "open",
        "secret_key": "open",
        "environment": "open",
        "cors": "open",
        "debug": "open",
        "docs": "open",
        "pool": "open",
        "tls": "open",
        "logs": "not_applicable",
        "alerts": "not_applicable",
        "pool_metrics": "not_applicable",
    }


def test_the_checklist_is_ticked_where_all_is_well(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").write_text("any_of = {}\n")
    ticked = states(
        judge(
            tmp_path,
            ENVIRONMENT="production",
            DATABASE_URL="postgresql://shop:Zr4tQ9wLk2Vn@db.internal/orders?sslmode=require",
            SECRET_KEY="9f2c7d41b8e603a5c4d7f1928e6b3a50d1c8e47f2b96a3051e7d8c4f6a2b9035",
            CORS_ORIGINS="https://app.shop.io",
            DB_POOL_MIN_SIZE="10",
            DB_POOL_MAX_SIZE="50",
        )
    )

    assert {id_ for id_, state in ticked.items() if state == "open"} == set()
    assert ticked["ai_key"] == "not_applicable"
    assert ticked["tls"] == "ticked"


def test_text_has_a_line_for_each_finding() -> None:
    verdict = judge(ENVIRONMENT="production")
    first = verdict.findings[0]

    assert render.line(first) == (
        "REFUSE  DB01 DATABASE_URL: DATABASE_URL is required in production."
    )
    assert "postgresql://" in first.hint
    assert render.summary(LintResult((verdict,))) == (
        "The configuration is refused. 5 findings, production."
    )
