"""Rules that a project writes in code, beside its `sidecar.toml`: told everywhere, run apart."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.environ import compose
from sidecar.config.environment import Environment
from sidecar.config.project_rules import ProjectRules
from sidecar.config.severity import Severity
from sidecar.lint.finding import weigh_all
from sidecar.lint.linter import validate
from sidecar.wiring.custom_rules import ask_apart
from sidecar.wiring.live import Examination
from tests.incidents.ending import findings, reported
from tests.incidents.patience import eventually
from tests.incidents.program import finish, serve

HANGING = "import threading\nthreading.Event().wait()"
RULES = """
import os
import pathlib
from sidecar.lint.custom_rule import Complaint, rule

print("a word of its own")
pathlib.Path("asked").write_text(str(os.getpid()))

@rule("SHOP01", "a till without a drawer")
def till(environ):
    if environ.text("TILL") != "closed":
        yield Complaint("TILL", f"it is {environ.text('TILL_SECRET')}", "close it")

@rule("SHOP02", "broken")
def broken(environ):
    raise ValueError(environ.text("TILL_SECRET"))
"""
REFUSED = 78
PRODUCTION = {"ENVIRONMENT": "production", "TILL_SECRET": "canary7canary7"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shoprules.py").write_text(RULES)
    (tmp_path / "sidecar.toml").write_text('rules = ["shoprules", "no_such_module:x"]')
    return tmp_path


def own_findings(report: dict[str, Any]) -> set[tuple[str, str]]:
    rules = {"SHOP01", "ENV07"}
    return {(each["id"], each["message"]) for each in report["findings"] if each["id"] in rules}


def test_the_console_script_finds_rules_beside_the_file(folder: Path) -> None:
    script = Path(sys.executable).parent / "sidecar"
    done = subprocess.run(
        [script, "check", "--environment", "production", "--format", "sarif"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    said = {each["ruleId"] for each in json.loads(done.stdout)["runs"][0]["results"]}
    assert done.returncode == REFUSED
    assert "SHOP01" in said
    assert "The rule shoprules " not in done.stdout


@pytest.mark.parametrize("arguments", [("serve",), ("run", "x:y")])
def test_a_start_tells_and_heeds_the_same_rules_as_check(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    refused = finish(folder, *arguments, **PRODUCTION)
    checked = finish(folder, "check", "--format", "json", **PRODUCTION)
    lines = [line for line in refused.out.splitlines() if line.startswith("{")]
    told = findings(type(refused)(refused.code, "\n".join(lines), refused.err))
    report = json.loads(checked.out)
    assert (refused.code, checked.code) == (REFUSED, REFUSED)
    assert told == reported(report)
    assert own_findings(report) == {
        ("SHOP01", "it is ***"),
        ("ENV07", "The rule SHOP02 raised ValueError."),
        ("ENV07", "The rule no_such_module:x cannot be imported: ModuleNotFoundError."),
    }
    assert "canary7" not in refused.out + refused.err + checked.out + checked.err


def test_a_rule_in_code_alone_stops_a_start(folder: Path) -> None:
    environ = {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "postgresql://shop:Zr4tQ9wLk2Vn7Xc1@127.0.0.1:1/orders",
        "SECRET_KEY": "Kf3vQ8mZr1Xc6Tn0Wb5Lp9Hd4Ys7Jg2AuEiOoUyBnVxT7qRwZ3",
        "CORS_ORIGINS": "https://app.shop.io",
        "SIDECAR_PORT": "0",
    }
    (folder / "sidecar.toml").write_text('rules = ["shoprules:till"]\nany_of = {}')
    refused = finish(folder, "serve", **environ)
    severe = {name for name, severity, _ in findings(refused) if severity == "refuse"}
    assert (refused.code, severe) == (REFUSED, {"SHOP01"})


async def test_no_rule_in_code_runs_in_the_probe_process(folder: Path, database: str) -> None:
    async with serve(folder, database, "--workers", "1") as program:
        report = (await program.get("/config-report")).json()
        assert int((folder / "asked").read_text()) != program.process.pid
    assert ("SHOP01", "it is ") in own_findings(report)


@pytest.mark.parametrize(
    ("code", "within_seconds", "said", "severity"),
    [
        (HANGING, 1.0, "they took longer than 1 s", Severity.ERROR),
        (
            "import os\nos._exit(7)",
            20.0,
            "their process ended with status 7",
            Severity.REFUSE,
        ),
        (
            "import sys\nsys.exit()",
            20.0,
            "their process ended with status 0",
            Severity.REFUSE,
        ),
    ],
)
async def test_rules_that_cannot_be_asked_are_a_finding(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    within_seconds: float,
    said: str,
    severity: Severity,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sidecar.toml").write_text('rules = ["shoprules"]')
    (tmp_path / "shoprules.py").write_text(code)
    project = ProjectRules(rules=("shoprules",))
    (seen,) = await ask_apart(project, {"PATH": os.environ["PATH"]}, within_seconds=within_seconds)
    assert (seen.rule.id, seen.field) == ("ENV07", "rules")
    assert seen.message == f"The rules shoprules could not be asked: {said}."
    (found,) = weigh_all((seen,), Environment.PRODUCTION)
    assert found.severity is severity


async def test_rules_in_code_are_asked_again_after_a_rotation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "till").write_text("closed")
    environ = {"PATH": os.environ["PATH"], "TILL": "open", "A_TOKEN_FILE": str(folder / "till")}
    verdict = validate(compose(environ, folder), now=datetime.now(UTC), repository=folder)
    examination = Examination(verdict, environ)
    (folder / "till").write_text("open")
    running = asyncio.create_task(examination.run())

    async def is_told() -> bool:
        return {"SHOP01", "ENV09"} <= {each.id for each in examination.verdict.findings}

    await eventually(is_told)
    running.cancel()
    await asyncio.wait((running,))


RAISING = "raise BaseException('canary7canary7 and canary8canary8')"
IN_A_THREAD = f"""
import threading
def work(): {RAISING}
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("code", [RAISING, IN_A_THREAD], ids=["import", "thread"])
@pytest.mark.parametrize(
    "command", [("check", "--env-file", "prod.env"), ("check",), ("own-rules",)]
)
def test_what_rules_raise_past_everybody_is_told_without_secrets(
    tmp_path: Path, code: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "sidecar.toml").write_text('rules = ["shoprules"]')
    (tmp_path / "shoprules.py").write_text(code)
    (tmp_path / "prod.env").write_text("DRAWER_TOKEN=canary8canary8")
    ended = finish(tmp_path, *command, TILL_TOKEN="canary7canary7")
    assert "BaseException: *** and" in ended.err
    assert "canary7" not in ended.err
    assert ("canary8" in ended.err) is (command[-1] != "prod.env")


@pytest.mark.parametrize("name", ["no_such_module:x", "shoprules:no_rule", "shoprules:broken"])
def test_a_rule_that_cannot_guard_refuses_a_start_in_production_only(
    folder: Path, name: str
) -> None:
    with (folder / "shoprules.py").open("a") as module:
        module.write("no_rule = 1")
    (folder / "sidecar.toml").write_text(f'rules = ["{name}"]')
    for environment, severity in (("production", "refuse"), ("development", "warning")):
        checked = finish(folder, "check", "--format", "json", ENVIRONMENT=environment)
        found = {each["id"]: each["severity"] for each in json.loads(checked.out)["findings"]}
        assert found["ENV07"] == severity
