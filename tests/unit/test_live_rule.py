"""What the live rules make of what a server says."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sidecar.config.environ import Environ
from sidecar.config.settings import Settings, load
from sidecar.config.severity import Severity
from sidecar.lint.finding import Violation
from sidecar.lint.linter import validate
from sidecar.lint.rules.live_server import connections_wanted, judge_live
from sidecar.lint.server_facts import Server, Unreachable

FINE = Server(
    is_local=False,
    is_encrypted=True,
    is_superuser=False,
    max_connections=100,
    reserved_connections=3,
    statement_timeout_seconds=60.0,
    idle_timeout_seconds=60.0,
)


def settings(**values: str) -> Settings:
    url = "postgresql://shop@db.internal/orders?sslmode=verify-full"
    found, _ = load(Environ.of({"ENVIRONMENT": "production", "DATABASE_URL": url} | values))
    return found


def seen(server: Server, **values: str) -> dict[str, Violation]:
    return {each.rule.id: each for each in judge_live(settings(**values), server)}


def test_a_fine_server_is_not_complained_about() -> None:
    assert seen(FINE) == {}


@pytest.mark.parametrize(
    ("rule", "server"),
    [
        ("DB03", replace(FINE, is_superuser=True)),
        ("DB05", replace(FINE, is_encrypted=False)),
        ("DB08", replace(FINE, max_connections=45)),
        ("DB10", replace(FINE, statement_timeout_seconds=0.0)),
        ("DB10", replace(FINE, idle_timeout_seconds=0.0)),
        ("DB12", replace(FINE, is_transaction_pooled=True)),
        ("DB14", replace(FINE, pending_migrations=("0001_events", "0002_more"))),
        ("DB14", replace(FINE, newer_schema=True)),
    ],
)
def test_a_live_rule_sees_its_case_and_no_other(rule: str, server: Server) -> None:
    found = seen(server)

    assert set(found) == {rule}
    assert found[rule].hint


def test_tls_without_a_checked_certificate_is_seen() -> None:
    url = "postgresql://shop@db.internal/orders?sslmode=require"

    assert set(seen(FINE, DATABASE_URL=url)) == {"DB06"}


def test_plain_text_on_this_machine_is_no_matter() -> None:
    assert seen(replace(FINE, is_local=True, is_encrypted=False)) == {}


def test_an_unreachable_server_is_one_finding() -> None:
    [found] = judge_live(settings(), Unreachable("PostgreSQL cannot be reached.", "Start it."))

    assert (found.rule.id, found.hint) == ("DB16", "Start it.")


@pytest.mark.parametrize(
    ("usable", "severity"), [(200, None), (129, Severity.WARNING), (128, Severity.REFUSE)]
)
def test_the_budget_adds_up_replicas_workers_and_pools(
    usable: int, severity: Severity | None
) -> None:
    given = {"SIDECAR_REPLICAS": "3", "SIDECAR_WORKERS": "1", "DB_POOL_MAX_SIZE": "20"}
    found = seen(replace(FINE, max_connections=usable + 3), **given).get("DB08")

    assert connections_wanted(settings(**given)) == 3 * (2 * 20 + 3) == 129
    assert (found and found.at_most) == severity
    if found is not None:
        assert "= 129 connections" in found.message
        assert "small" in found.hint.lower()


def test_what_was_told_already_is_not_told_twice() -> None:
    url = "postgresql://postgres:Zr4tQ9wLk2Vn@db.internal/orders?sslmode=verify-full"
    environ = Environ.of({"ENVIRONMENT": "production", "DATABASE_URL": url})
    verdict = validate(environ, now=datetime(2026, 1, 1, tzinfo=UTC))
    server = replace(FINE, is_superuser=True, is_transaction_pooled=True)
    findings = verdict.extended(judge_live(verdict.settings, server)).findings

    assert [each.id for each in findings].count("DB03") == 1
    assert [each.severity for each in findings if each.id == "DB12"] == [Severity.REFUSE]


def test_migrations_that_are_applied_at_the_start_are_only_mentioned() -> None:
    behind = replace(FINE, pending_migrations=("0001_events",))

    assert seen(behind, SIDECAR_AUTO_MIGRATE="true")["DB14"].at_most is Severity.INFO
    assert seen(behind, SIDECAR_AUTO_MIGRATE="false")["DB14"].at_most is Severity.REFUSE
