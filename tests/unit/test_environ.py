import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.config.environ import Environ, compose, read
from sidecar.config.mount import LIMIT_BYTES
from sidecar.config.variable import Variable
from sidecar.lint.deployment import Workload

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure


def found(environ: Environ) -> list[tuple[str, str, str]]:
    return [(each.id, each.field, each.severity) for each in Workload.of(environ).findings]


def test_the_snapshot_does_not_follow_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY", "before")
    environ = read(directory=tmp_path)
    monkeypatch.setenv("SECRET_KEY", "after")

    assert environ.get("SECRET_KEY") == Variable("SECRET_KEY", "before", "environment")
    assert "SECRET_KEY" in environ
    assert environ.get("NOT_SET_ANYWHERE") is None


def test_values_stay_out_of_representations() -> None:
    environ = Environ.of({"SECRET_KEY": "canary7"})

    assert "canary7" not in f"{environ} {environ!r} {list(environ)}"


def test_a_mounted_secret_is_read_without_its_last_line_end(tmp_path: Path) -> None:
    mounted = tmp_path / "key"
    mounted.write_bytes(b"\xef\xbb\xbfs3cret with blanks \r\n")

    environ = compose({"SECRET_KEY_FILE": str(mounted)}, tmp_path)

    assert environ.get("SECRET_KEY") == Variable("SECRET_KEY", "s3cret with blanks ", str(mounted))
    assert not environ.faults


def test_the_variable_wins_over_its_file_and_both_set_is_told(tmp_path: Path) -> None:
    mounted = tmp_path / "key"
    mounted.write_text("mounted")

    environ = compose({"SECRET_KEY": "given", "SECRET_KEY_FILE": str(mounted)}, tmp_path)

    assert environ.text("SECRET_KEY") == "given"
    assert found(environ) == [("ENV06", "SECRET_KEY", "warning")]


def test_files_that_are_meant_to_be_files_are_left_alone(tmp_path: Path) -> None:
    environ = compose({"SSL_CERT_FILE": "/nowhere", "LOG_FILE": "/nowhere"}, tmp_path)

    assert environ.get("SSL_CERT") is None
    assert not environ.faults


def _directory(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\xfa")


def _too_large(path: Path) -> None:
    path.write_bytes(b"x" * (LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_directory, "not a regular file"),
        (_pipe, "not a regular file"),
        (_not_text, "not UTF-8"),
        (_too_large, "larger than 1 MiB"),
    ],
    ids=["directory", "pipe", "not text", "too large"],
)
def test_an_unreadable_mount_is_refused_in_production(
    tmp_path: Path, make: object, said: str
) -> None:
    assert callable(make)
    make(tmp_path / "key")
    given_path = {"ENVIRONMENT": "production", "SECRET_KEY_FILE": str(tmp_path / "key")}

    environ = compose(given_path, tmp_path)

    assert found(environ) == [("ENV06", "SECRET_KEY_FILE", "refuse")]
    assert said in environ.faults[0].message


def test_a_secret_put_in_place_of_a_path_is_not_repeated(tmp_path: Path) -> None:
    for value in ("canary7", "canary7\x00", "canary7\udcff", "canary7" * 1000):
        environ = compose({"SECRET_KEY_FILE": value}, tmp_path)

        assert found(environ) == [("ENV06", "SECRET_KEY_FILE", "warning")]
        assert "canary7" not in repr(environ)


def test_the_env_file_is_read_in_development_and_loses_to_the_process(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(
        b"\xef\xbb\xbfDEBUG=true\r\nSIDECAR_PORT='99'\r\nexport SECRET_KEY=x # why\r\n"
    )

    environ = compose({"SIDECAR_PORT": "1"}, tmp_path)

    assert environ.get("DEBUG") == Variable("DEBUG", "true", ".env", 1)
    assert environ.get("SIDECAR_PORT") == Variable("SIDECAR_PORT", "1", "environment")
    assert environ.text("SECRET_KEY") == "x"


@pytest.mark.parametrize("environment", ["production", "test", "staging", "unknown", "Production "])
def test_the_env_file_is_not_read_elsewhere(tmp_path: Path, environment: str) -> None:
    (tmp_path / ".env").write_text("DEBUG=true\n")

    assert compose({"ENVIRONMENT": environment}, tmp_path).get("DEBUG") is None


def test_mistakes_in_the_env_file_are_told_by_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DEBUG=1\nthis is = canary7 'no line\nDEBUG=0\n")

    messages = [each.message for each in compose({}, tmp_path).faults]

    assert messages == [
        "Line 2 of .env is not NAME=value.",
        "DEBUG stands twice, in lines 1 and 3.",
    ]


def test_an_env_file_that_is_a_directory_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    assert found(compose({}, tmp_path)) == [("ENV06", ".env", "warning")]


@unhurried
@given(st.dictionaries(st.text(), st.text(), max_size=5), st.binary())
def test_any_environment_and_any_env_file_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, values: Mapping[str, str], content: bytes
) -> None:
    directory = tmp_path_factory.mktemp("any")
    (directory / ".env").write_bytes(content)

    environ = compose(values, directory)

    assert all(isinstance(each.value, str) for each in environ)
