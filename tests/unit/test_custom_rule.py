"""Rules that a project writes in code."""

import importlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType

import pytest

from sidecar.config.environ import Environ
from sidecar.config.severity import Severity
from sidecar.lint.custom_rule import Complaint, CustomRule, load, rule
from sidecar.lint.deployment import Workload
from sidecar.lint.linter import Verdict, validate_all

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@rule("SHOP01", "a till without a drawer", development=None, refs=("the till's manual",))
def drawer(environ: Environ) -> Iterator[Complaint]:
    if "TILL" in environ and "DRAWER" not in environ:
        yield Complaint("TILL", "TILL has no drawer.", "Set DRAWER.")


@rule("SHOP02", "a rule that talks too much")
def talkative(environ: Environ) -> Iterator[Complaint]:
    yield Complaint("X", f"It is {environ.text('TILL_TOKEN')}.", environ.text("CACHE_URL"))


@rule("SHOP03", "a rule that fails")
def failing(environ: Environ) -> Iterator[Complaint]:
    raise RuntimeError(environ.text("TILL_TOKEN"))


def judge(*rules: CustomRule, **values: str) -> Verdict:
    return validate_all([Workload.of(Environ.of(values))], now=NOW, rules=rules)[0]


@pytest.mark.parametrize(("environment", "severity"), [("production", "refuse"), ("test", None)])
def test_a_rule_is_weighed_by_the_environment(environment: str, severity: str | None) -> None:
    verdict = judge(drawer, TILL="7", ENVIRONMENT=environment)
    found = [each for each in verdict.findings if each.id == "SHOP01"]

    assert [each.severity for each in found] == ([] if severity is None else [Severity(severity)])
    assert all(each.rule.refs == ("the till's manual",) for each in found)
    assert all(each.source == "environment" for each in found)


def test_a_rule_can_be_quiet_and_can_be_called_as_before() -> None:
    environ = Environ.of({"TILL": "7", "DRAWER": "1"})

    assert list(drawer(environ)) == []
    assert "SHOP01" not in {each.id for each in judge(drawer, TILL="7", DRAWER="1").findings}


def test_a_secret_in_its_message_is_masked() -> None:
    url = "redis://u:p7p7p7@cache/0"
    verdict = judge(talkative, TILL_TOKEN="canary7", CACHE_URL=url)
    [found] = [each for each in verdict.findings if each.id == "SHOP02"]

    assert (found.message, found.hint) == ("It is ***.", "***")


def test_a_rule_that_raises_is_a_finding_and_the_others_are_asked() -> None:
    verdict = judge(failing, drawer, TILL="7", TILL_TOKEN="canary7", ENVIRONMENT="production")
    found = {each.id: each for each in verdict.findings}

    assert found["ENV07"].message == "The rule SHOP03 raised RuntimeError."
    assert "SHOP01" in found
    assert "canary7" not in str(verdict.findings)


def test_rules_are_found_by_name_and_by_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("till_rules")
    vars(module)["drawer"] = drawer
    monkeypatch.setitem(sys.modules, "till_rules", module)

    assert load(["till_rules:drawer"]) == load(["till_rules"]) == ((drawer,), ())


def test_what_is_no_rule_is_a_finding() -> None:
    rules, faults = load(["json", "json:dumps", "no_such_module:x", "json:nothing"])

    assert rules == ()
    assert [each.rule.id for each in faults] == ["ENV07"] * 4


def test_a_rule_may_import_from_where_the_module_was_before() -> None:
    former = importlib.import_module("sidecar.config.own_rule")

    assert (former.rule, former.Complaint) == (rule, Complaint)
