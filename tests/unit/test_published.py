"""Secrets that everybody can look up, and the example files that hold them."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.config.environ import Environ
from sidecar.config.secret import generate
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_path, is_secret_name
from sidecar.lint.deployment import read_deployment
from sidecar.lint.linter import validate
from sidecar.lint.published import digests, is_unmistakable, origin_of
from sidecar.lint.rules.secrets import credentials_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.env"))
DIGEST = "@sha256:"
"""Stands for a value that looks like a real key: only its digest is kept here."""
ABOUT_THE_SECRET = {"SEC02", "SEC03", "SEC04", "SEC08", "SEC13", "SEC14", "DB01", "DB02", "APP07"}


def test_at_least_two_hundred_are_known_and_each_has_an_origin() -> None:
    assert len(digests()) >= 200
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests())
    assert all(origin.strip() for origin in digests().values())


def test_a_documented_key_is_known_and_a_fresh_one_is_not() -> None:
    documented = hashlib.sha256(b"password").hexdigest()

    assert origin_of(documented) == "MD5, SHA-1 and SHA-256 digests of common words"
    assert origin_of(generate().reveal()) is None
    assert origin_of("") is None
    assert is_unmistakable(generate().reveal())
    assert not is_unmistakable("minioadmin")


def is_secret(variable: Variable) -> bool:
    is_named = is_secret_name(variable.name) and not is_path(variable.value)
    _, password, _ = credentials_of(variable.value)
    return bool(variable.value.strip()) and (is_named or bool(password))


def refused(environ: Environ) -> set[str]:
    verdict = validate(environ, now=NOW)
    return {
        each.field
        for each in verdict.findings
        if each.severity is Severity.REFUSE and each.id in ABOUT_THE_SECRET
    }


def judge(path: Path) -> tuple[set[str], set[str]]:
    """Give the secrets of an example file, and those that production refuses."""
    [workload] = read_deployment([path], environment="production", shell={}).workloads
    environ = workload.environ
    digested = {each.name for each in environ if each.value.startswith(DIGEST)}
    known = {
        each.name for each in environ if each.value.removeprefix(DIGEST) in digests()
    } & digested
    secrets = {each.name for each in environ if is_secret(each)} | digested
    return secrets, (secrets & refused(environ) - digested) | known


def test_of_the_secrets_in_well_known_example_files_nearly_all_are_refused() -> None:
    judged = {path.stem: judge(path) for path in EXAMPLES}
    total = sum(len(secrets) for secrets, _ in judged.values())
    missed = {name: secrets - seen for name, (secrets, seen) in judged.items() if secrets - seen}

    assert len(judged) >= 15
    assert total >= 150
    assert sum(map(len, missed.values())) <= total * 0.05, missed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
def test_what_is_no_secret_in_an_example_file_is_not_called_one(path: Path) -> None:
    [workload] = read_deployment([path], environment="production", shell={}).workloads
    environ = workload.environ
    public = {each.name for each in environ if not is_secret(each)}
    verdict = validate(environ, now=NOW)

    assert not {each.field for each in verdict.findings if each.id == "SEC02"} & public - {
        "DATABASE_URL"
    }
