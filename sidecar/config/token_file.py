"""The token of a sidecar that was given none: made once, kept in a file that only its owner reads.

Replicas that share the directory share the token. A file that others may have read or written is
never trusted: another takes its place.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sidecar.config.private_file import MAKE, READ, give_away, is_private, make_directory, opened
from sidecar.config.secret import Secret, generate
from sidecar.errors import TokenFileError

FILE_NAME: Final = "token"

_CURE: Final = "Set SIDECAR_TOKEN, or SIDECAR_DATA_DIR to a directory of this user."
_SHAPE: Final = re.compile(rb"[\x21-\x7e]{32,512}")
_LONGEST_BYTES: Final = 1024


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
            with opened(self.path, READ) as descriptor:
                is_ours = is_private(os.fstat(descriptor), self.path.parent)
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

    @contextmanager
    def _writing(self) -> Iterator[tuple[Path, Secret]]:
        """Yield a complete file beside the real one, gone afterwards, and the token in it."""
        beside = self.path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
        fresh = generate()
        try:
            make_directory(self.path.parent)
            with opened(beside, MAKE) as descriptor:
                give_away(descriptor, self.path.parent)
                os.write(descriptor, fresh.reveal().encode() + b"\n")
                os.fsync(descriptor)
            yield beside, fresh
        except OSError as error:
            raise self._refusal("kept", error) from error
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def _refusal(self, verb: str, error: OSError) -> TokenFileError:
        return TokenFileError(
            f"The token cannot be {verb} in {self.path}: {error.strerror}. {_CURE}"
        )
