"""The token of a sidecar that was given none: made once, kept in a file that only its owner reads.

Replicas that share the directory share the token. A file that others may have read or written is
never trusted: another takes its place.
"""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sidecar.config.secret import Secret, generate
from sidecar.errors import TokenFileError

FILE_NAME: Final = "token"

_CURE: Final = "Set SIDECAR_TOKEN, or SIDECAR_DATA_DIR to a directory of this user."
_SHAPE: Final = re.compile(rb"[\x21-\x7e]{32,512}")
_LONGEST_BYTES: Final = 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# Neither a link nor a pipe may be put in the file's place and hold the reader up.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TokenFile:
    """The file `token` in a directory, which is made when it is needed."""

    def __init__(self, directory: Path) -> None:
        self.path: Final = directory / FILE_NAME

    def read(self) -> Secret | None:
        """Return the token; None where there is none that can be trusted.

        Raises:
            TokenFileError: The file is there, and this process may not read it.
        """
        try:
            with _opened(self.path, _READ) as descriptor:
                is_ours = self._is_ours(os.fstat(descriptor))
                text = os.read(descriptor, _LONGEST_BYTES).strip() if is_ours else b""
        except PermissionError as error:
            raise self._refusal("read", error) from error
        except OSError:
            return None
        return Secret(text.decode()) if _SHAPE.fullmatch(text) else None

    def obtain(self) -> tuple[Secret, bool]:
        """Return the token, and whether it was made just now.

        Raises:
            TokenFileError: It cannot be read, or none can be kept there.
        """
        kept = self.read()
        if kept is not None:
            return kept, False
        with self._writing() as (beside, fresh):
            # A link never takes the place of what is there: of two that start at once, one makes
            # the token and both have it.
            with suppress(OSError):
                os.link(beside, self.path)
            kept = self.read()
            if kept is None:
                beside.replace(self.path)
                kept = self._read_back()
        return kept, kept == fresh

    def rotate(self) -> Secret:
        """Put another token in the place of the one that is there, and return it.

        Raises:
            TokenFileError: None can be kept there.
        """
        with self._writing() as (beside, _):
            beside.replace(self.path)
        return self._read_back()

    def _read_back(self) -> Secret:
        """Return what was written, as every other process will find it."""
        kept = self.read()
        if kept is None:
            raise TokenFileError(
                f"The token cannot be kept in {self.path}: others may read what is written there. "
                f"{_CURE}"
            )
        return kept

    def _is_ours(self, found: os.stat_result) -> bool:
        """Return True when it is private to this user, or, for root, to the directory's owner."""
        owners = {os.geteuid(), self.path.parent.stat().st_uid}
        is_private = stat.S_ISREG(found.st_mode) and not found.st_mode & _OTHERS
        return is_private and found.st_uid in owners

    @contextmanager
    def _writing(self) -> Iterator[tuple[Path, Secret]]:
        """Yield a complete file beside the real one, gone afterwards, and the token in it."""
        beside = self.path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
        fresh = generate()
        try:
            _make_directory(self.path.parent)
            with _opened(beside, _MAKE) as descriptor:
                self._give_away(descriptor)
                os.write(descriptor, fresh.reveal().encode() + b"\n")
                os.fsync(descriptor)
            yield beside, fresh
        except OSError as error:
            raise self._refusal("kept", error) from error
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def _give_away(self, descriptor: int) -> None:
        """Leave what root makes to the directory's owner, whose sidecar has to read it."""
        if os.geteuid() == 0:
            owner = self.path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _refusal(self, verb: str, error: OSError) -> TokenFileError:
        return TokenFileError(
            f"The token cannot be {verb} in {self.path}: {error.strerror}. {_CURE}"
        )


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    """Make it for this user alone, and out of the sight of git."""
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / ".gitignore").write_text("*\n", "ascii")
