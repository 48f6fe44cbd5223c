import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sidecar.config.token_file import TokenFile
from sidecar.errors import TokenFileError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "data")
    token, is_new = file.obtain()

    assert is_new
    assert len(token.reveal()) >= 64
    assert mode(file.path) == 0o600
    assert mode(file.path.parent) == 0o700
    assert sorted(path.name for path in file.path.parent.iterdir()) == [".gitignore", "token"]
    assert TokenFile(tmp_path / "data").obtain() == (token, False)
    assert file.read() == token


def test_replicas_that_start_at_once_in_one_directory_share_the_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        obtained = list(pool.map(lambda _: TokenFile(tmp_path).obtain(), range(64)))

    assert len({token for token, _ in obtained}) == 1
    assert sum(is_new for _, is_new in obtained) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_rotation_puts_another_token_in_its_place(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    before, _ = file.obtain()
    after = file.rotate()

    assert before != after
    assert (file.read(), mode(file.path)) == (after, 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("content", [b"", b"short", b"a" * 31, b"a b" * 20, b"\xff" * 64])
def test_what_is_no_token_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    token, is_new = TokenFile(tmp_path).obtain()

    assert is_new
    assert token.reveal().encode() != content


@pytest.mark.parametrize("others", [0o040, 0o004, 0o020, 0o002])
def test_a_token_that_others_may_have_read_or_written_is_replaced(
    others: int, tmp_path: Path
) -> None:
    file = TokenFile(tmp_path)
    known, _ = file.obtain()
    file.path.chmod(0o600 | others)

    assert file.read() is None
    assert file.obtain()[0] != known
    assert mode(file.path) == 0o600


def test_a_link_to_another_file_is_never_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x" * 64)
    elsewhere.chmod(0o600)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "token").symlink_to(elsewhere)
    file = TokenFile(tmp_path / "data")

    assert file.read() is None
    assert file.obtain()[1]
    assert elsewhere.read_text() == "x" * 64
    assert not file.path.is_symlink()


def test_a_pipe_in_its_place_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)

    assert TokenFile(tmp_path).read() is None
    assert TokenFile(tmp_path).obtain()[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_a_file_of_another_user_is_not_believed(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    planted, _ = file.obtain()
    os.chown(file.path, 4711, 4711)

    assert file.read() is None
    assert file.obtain()[0] != planted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    file = TokenFile(tmp_path)
    token, _ = file.obtain()

    assert (file.path.stat().st_uid, file.path.stat().st_gid) == (4711, 4712)
    assert file.read() == token


def test_a_place_that_keeps_nothing_private_is_told_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.config.private_file._OTHERS", 0o600)  # as if all could read it
    for take in (TokenFile(tmp_path).obtain, TokenFile(tmp_path).rotate):
        with pytest.raises(TokenFileError, match=r"others may read .* Set SIDECAR_TOKEN"):
            take()


def test_a_place_that_cannot_hold_a_token_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, where a directory should be")

    with pytest.raises(TokenFileError, match=r"data/token: .*Set SIDECAR_TOKEN"):
        TokenFile(tmp_path / "data").obtain()
