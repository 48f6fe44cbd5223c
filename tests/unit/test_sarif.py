"""SARIF as GitHub takes it: judged by the validator that Microsoft publishes for the format."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sidecar.cli import main

ROOT = Path(__file__).parents[2]
PACKAGE = "@microsoft/sarif-multitool-linux"
VERSION = "5.7.0"
MODULES = ROOT / "build" / "sarif"
PROGRAM = MODULES / "node_modules" / PACKAGE / "Sarif.Multitool"
# The project has no address on the web yet.
ALLOWED = "SARIF2005"


def validator() -> Path:
    """Give the validator's program; it is fetched by npm once."""
    npm = shutil.which("npm")
    if npm is None or not sys.platform.startswith("linux"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the validator needs npm and Linux")
    if not PROGRAM.exists():
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(MODULES))
        subprocess.run([npm, "install", *options, f"{PACKAGE}@{VERSION}"], check=True)
    PROGRAM.chmod(0o755)
    return PROGRAM


def sarif(*arguments: str) -> dict[str, Any]:
    output = CliRunner().invoke(main, ["check", "--format", "sarif", *arguments]).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def write_inputs(folder: Path) -> dict[str, tuple[str, ...]]:
    """Write what differs in where its findings stand; give the arguments for each."""
    (folder / "sidecar.toml").write_text("[silenced]\nAPP01 = 'a demo'\nX = ''\n")
    (folder / "lacking.env").write_text("ENVIRONMENT=production\nDEBUG=true\n")
    odd = "my prod,1:2 file%#?.env"
    (folder / odd).write_text("ENVIRONMENT=production\nSECRET_KEY=changeme\n")
    (folder / "api.yaml").write_text(
        "kind: Pod\nmetadata: {name: api}\nspec:\n  containers:\n"
        "    - {name: a, env: [{name: SECRET_KEY, value: changeme}]}\n    - {name: b, env: []}\n"
    )
    return {
        "lacking": ("--env-file", "lacking.env"),
        "odd": ("--env-file", odd),
        "absolute": ("--env-file", str(folder / odd)),
        "workloads": ("--env-file", "api.yaml"),
        "process": ("--environment", "production"),
        "missing": ("--env-file", "/nowhere/at all.env"),
    }


def test_every_document_passes_the_rules_of_github(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = []
    for name, arguments in write_inputs(tmp_path).items():
        document = sarif(*arguments)
        assert document["runs"][0]["results"]
        (tmp_path / f"{name}.sarif").write_text(json.dumps(document))
        names.append(f"{name}.sarif")
    told = subprocess.run(
        [validator(), "validate", *names, "--rule-kind", "Sarif;Gh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
    )
    faults = [line for line in told.stdout.splitlines() if ".sarif(" in line]

    assert f"{len(names)} files scanned" in told.stdout, told.stdout + told.stderr
    assert [line for line in faults if ALLOWED not in line] == []


def test_a_path_is_told_as_an_address_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = write_inputs(tmp_path)

    def uris(name: str) -> set[str]:
        results = sarif(*inputs[name])["runs"][0]["results"]
        places = [each["locations"][0]["physicalLocation"] for each in results]
        return {place["artifactLocation"]["uri"] for place in places} - {"sidecar.toml"}

    odd = "my%20prod%2C1%3A2%20file%25%23%3F.env"
    assert uris("odd") == {odd}
    assert uris("absolute") == {odd}
    assert uris("missing") == {"file:///nowhere/at%20all.env"}
