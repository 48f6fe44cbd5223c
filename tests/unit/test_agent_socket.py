"""The socket of an agent: its file says whether the process lives, ended, or died."""

import os
import socket
from pathlib import Path

import pytest

from sidecar.errors import UsageError
from sidecar.process.agent_socket import (
    MAX_PATH_BYTES,
    Life,
    list_sockets,
    look_at,
    open_socket,
    sweep,
)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "agents"


def test_a_socket_is_found_by_the_name_of_its_process_in_a_private_directory(
    directory: Path,
) -> None:
    opened = open_socket(directory)
    with opened.listener:
        assert directory.stat().st_mode & 0o777 == 0o700
        assert opened.name.startswith(f"{os.getpid()}-")
        assert list_sockets(directory) == {opened.name: directory / f"{opened.name}.sock"}
        assert look_at(directory / f"{opened.name}.sock") is Life.ALIVE
        opened.remove()
    assert list_sockets(directory) == {}
    assert look_at(directory / f"{opened.name}.sock") is Life.ENDED


def test_what_dead_processes_left_is_swept_and_the_living_stay(directory: Path) -> None:
    dead, living = open_socket(directory), open_socket(directory)
    with living.listener:
        dead.listener.close()
        (directory / "notes.txt").write_text("not ours")
        assert look_at(directory / f"{dead.name}.sock") is Life.DEAD
        sweep(directory)
        assert list(list_sockets(directory)) == [living.name]
        assert (directory / "notes.txt").exists()


def test_a_process_whose_queue_of_callers_is_full_is_not_dead(directory: Path) -> None:
    opened = open_socket(directory)
    path = directory / f"{opened.name}.sock"
    opened.listener.listen(0)
    with (
        opened.listener,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(os.path.relpath(path))
        assert look_at(path) is Life.ALIVE


def test_a_child_that_was_forked_does_not_say_that_its_parent_ended(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_socket(directory)
    with opened.listener:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        opened.remove()
        assert list(list_sockets(directory)) == [opened.name]


def test_a_deep_directory_is_used_by_its_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 90) / "project"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    opened = open_socket(deep / ".sidecar" / "agents")
    with opened.listener:
        [path] = list_sockets(deep / ".sidecar" / "agents").values()
        assert len(str(path)) > MAX_PATH_BYTES
        assert look_at(path) is Life.ALIVE


def test_a_path_that_the_system_does_not_take_is_told_with_its_length(directory: Path) -> None:
    with pytest.raises(UsageError, match=f"takes {MAX_PATH_BYTES} at most. Set SIDECAR_AGENT_DIR"):
        open_socket(directory / ("d" * 100))
