import base64
import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.json import encode

from sidecar.config.dsn import Dsn, DsnError
from sidecar.config.environ import Environ, compose
from sidecar.config.settings import declarations
from sidecar.lint import render
from sidecar.lint.annotation import github_lines, sarif
from sidecar.lint.change import changes
from sidecar.lint.linter import Verdict, validate
from sidecar.lint.result import LintResult

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [each.name for each in declarations() if each.name != "ENVIRONMENT"]
OTHERS = ["STRIPE_SECRET_KEY", "REDIS_URL", "JWT_TOKEN", "SECERT_KEY", "SIDECAR_UNKNOWN"]
SHAPES = [
    "{}",
    '"{}"',
    "\ufeff{}\r\n",
    "${{{}}}",
    "your-{}-here",
    "{}\x00",
    "{} # comment",
    "dev-{}",
    "sk_test_{}",
    "postgresql://user:{}@host:port/dbname",
    "postgresql://{}:{}@[db.internal/orders",
    "postgresql+asyncpg://u:{}@db.internal/orders",
    "https://{}:{}@app.example.com",
    "postgresql://u:p@db.internal/orders?password={}&sslmode=prefer",
    "postgresql://app@db.acme.io/shop&password={}&sslmode=require",
    "postgresql://app@db.acme.io/shop;password={}",
    "postgresql://app@db.acme.io/shop|{}",
    "postgresql://app@db.acme.io/shop%26password%3D{}",
    "postgresql://app@db.acme.io/shop%3Fpassword={}",
    "postgresql://app@db.acme.io/shop password={}",
    "postgresql://app%3A{}%40db.acme.io/shop",
    "postgresql://app%3A{}/shop",
    "postgresql://{}/shop",
    "postgresql://app@db.acme.io/{}",
    "postgresql:///shop?host={}&dbname={}",
    "postgresql://app@db.acme.io/shop?sslmode={}",
    "postgresql://app@db.acme.io/shop?{}=1&sslpassword={}",
    "https://ok.io,{}",
    '["https://ok.io", "{}"',
]


def forms(canary: str) -> list[str]:
    """Give the canary as it may turn up, also inside of a longer base64 text."""
    encoded = [base64.b64encode(b" " * pad + canary.encode()).decode() for pad in range(3)]
    return [canary, quote(canary, safe=""), quote_plus(canary), *(each[4:-4] for each in encoded)]


def split_forms(canary: str) -> list[str]:
    """Give its halves too: half a secret is half the work of guessing it."""
    middle = len(canary) // 2
    return [*forms(canary), canary[:middle], canary[middle:], canary[::-1]]


def everything_said(verdict: Verdict, environ: Environ) -> str:
    report = verdict.report(NOW)
    said: Iterable[object] = [
        encode(report.as_dict()).decode(),
        str(report.as_dict()),
        *(f"{render.line(each)} {each.hint}" for each in verdict.findings),
        render.summary(LintResult((verdict,))),
        repr(verdict),
        repr(report),
        repr(environ),
        repr(list(environ)),
        repr(verdict.settings),
        str(verdict.settings),
        repr(environ.faults),
        *github_lines(verdict.findings, {}),
        json.dumps(sarif(verdict.findings, "1", {})),
        repr(list(render.groups(verdict.findings))),
        repr(verdict.violations),
        repr(changes(environ, Environ.of({}))),
        encode(verdict.report(NOW, changes(environ, Environ.of({}))).as_dict()).decode(),
    ]
    return "\n".join(map(str, said))


@pytest.mark.parametrize("environment", ["development", "production", "unknown"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_canary_is_found_in_anything_that_is_said(
    environment: str, shape: str, tmp_path: Path
) -> None:
    canaries = {name: f"cAn4ry+{place:03}/Zq7" for place, name in enumerate(NAMES + OTHERS)}
    values = {
        name: shape.replace("{{", "{").replace("}}", "}").replace("{}", canary)
        for name, canary in canaries.items()
    }
    (tmp_path / ".env").write_bytes(
        "".join(f"X{name}_KEY='{value}'\n{value}\n" for name, value in values.items()).encode()
    )
    mounts = {f"M{name}_KEY_FILE": value for name, value in values.items()}
    environ = compose(values | mounts | {"ENVIRONMENT": environment}, tmp_path)

    said = everything_said(validate(environ, now=NOW, repository=tmp_path), environ)

    leaked = [
        name for name, canary in canaries.items() if any(form in said for form in forms(canary))
    ]
    assert leaked == []


@pytest.mark.parametrize(
    "text", ["postgresql://u:canary7@[h", "postgresql://u:p@h:canary7/d", "canary7://h"]
)
def test_an_error_carries_no_part_of_the_address_in_its_traceback(text: str) -> None:
    with pytest.raises(DsnError) as refused:
        Dsn.parse(text)

    assert "canary7" not in "".join(traceback.format_exception(refused.value))


def test_settings_with_secrets_are_not_pickled() -> None:
    verdict = validate(Environ.of({"SECRET_KEY": "canary7"}), now=NOW)

    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(verdict.settings)


@unhurried
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60),
    st.sampled_from(["SECRET_KEY", "GEMINI_API_KEY", "SIDECAR_TOKEN", "OTHER_SECRET"]),
    st.sampled_from(["development", "production"]),
)
def test_no_secret_is_found_in_the_report_or_its_text(
    value: str, name: str, environment: str
) -> None:
    environ = Environ.of({name: value, "ENVIRONMENT": environment})
    said = everything_said(validate(environ, now=NOW), environ)
    without = Environ.of({"ENVIRONMENT": environment})

    assert value not in said or value in everything_said(validate(without, now=NOW), without)


# Each command has a process of its own, which begins where the imports are done.
RUN_EACH = """
import json, os, sys
from sidecar.cli import main
for arguments in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        main(["check", *arguments], prog_name="sidecar")
    os.waitpid(child, 0)
"""


def files_of(folder: Path, values: dict[str, str]) -> list[Path]:
    """Write the values into every kind of file that can be judged."""
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    contents = {
        "prod.env": lines + "no name: " + ", ".join(values.values()),
        "doppler.json": json.dumps(values),
        "broken.json": json.dumps(values)[:-9],
        "compose.yaml": json.dumps({"services": {"web": {"environment": values}}}),
        "broken.yaml": lines + "a: [",
        "secret.yaml": json.dumps(
            {"kind": "Secret", "metadata": {"name": "s"}, "data": encoded | {"X": "%cAn4ry+%"}}
        ),
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [folder / name for name in contents]


@pytest.mark.parametrize("shape", ["{}", "your-{}-here", "postgresql://u:{}@127.0.0.1:1/d"])
def test_no_canary_is_found_in_anything_that_the_command_writes(shape: str, tmp_path: Path) -> None:
    canaries = {name: f"cAn4ry+{place:03}/Zq7" for place, name in enumerate(NAMES + OTHERS)}
    values = {name: shape.replace("{}", canary) for name, canary in canaries.items()}
    (tmp_path / "sidecar.toml").write_text(
        f"required = '{canaries['SECRET_KEY']}'\n[severity]\nSEC01 = '{canaries['DEBUG']}'\n"
        "[pattern]\nSECRET_KEY = 'x+'\n[bytes]\nSIDECAR_TOKEN = 32\n"
    )
    (tmp_path / ".env.example").write_text(f"SECRET_KEY={values['SECRET_KEY']}\n")
    paths = files_of(tmp_path, values)
    arguments = [
        [],
        ["--live"],
        *(["--env-file", str(path)] for path in paths),
        *(["--env-file", str(paths[0]), "--format", each] for each in ("json", "github", "sarif")),
    ]
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = bare | {name: value for name, value in values.items() if "\x00" not in value}
    ran = subprocess.run(
        [sys.executable, "-c", RUN_EACH, json.dumps(arguments)],
        env=environ | {"ENVIRONMENT": "production"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    said = ran.stdout + ran.stderr

    assert "Traceback" not in said
    assert said.count("SECRET_KEY") >= len(arguments) - 3
    leaked = [
        name
        for name, canary in canaries.items()
        if any(form in said for form in split_forms(canary)[:-1])
    ]
    assert leaked == []
