"""The token that opens the guarded pages: the configured one, or one that is made and kept."""

import asyncio
import logging
import sys
import time
from typing import Final

from sidecar.config.option import LogFormat
from sidecar.config.secret import Secret
from sidecar.config.settings import Settings
from sidecar.config.token_file import TokenFile
from sidecar.errors import TokenFileError, UsageError
from sidecar.telemetry.redaction import Redactor
from sidecar.web.session import login_link

FOLLOW_SECONDS: Final = 1.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what such a host stands for

logger = logging.getLogger(__name__)


class KeptToken:
    """The token of a file, as it is there now; the redactor learns each new one.

    Attributes:
        is_new: Whether it was made at this start.

    Raises:
        TokenFileError: It cannot be read or kept.
    """

    def __init__(self, file: TokenFile, redactor: Redactor) -> None:
        self.file: Final = file
        self._redactor = redactor
        self._secret, self.is_new = file.obtain()
        redactor.learn(self._secret)

    def reveal(self) -> str:
        """Return the token itself."""
        return self._secret.reveal()

    def announce(self, address: str, log_format: LogFormat) -> None:
        """Log how to open the status page; print a link once, where a person reads it."""
        logger.info(
            "The status page asks for the token in %s; `sidecar token --link` prints a link",
            self.file.path,
            extra={"event": "sidecar.token.kept"},
        )
        # Not through the log: where that is shipped to, nobody may get in by it.
        if self.is_new and sys.stderr.isatty() and log_format is not LogFormat.JSON:
            sys.stderr.write(f"The status page, for ten minutes: {link_for(self, address)}\n")
            sys.stderr.flush()

    async def follow(self) -> None:
        """Take up what `sidecar token --rotate` writes, within a second, until cancelled.

        A file that is gone, or that others may have written, changes nothing.
        """
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                found = await asyncio.to_thread(self.file.read)
            except TokenFileError:
                continue
            if found is not None and found != self._secret:
                self._redactor.learn(found)
                self._secret = found
                logger.info("The token was rotated", extra={"event": "sidecar.token.rotated"})


def open_access(settings: Settings, redactor: Redactor) -> Secret | KeptToken | None:
    """Take the configured token, or the kept one; production has none but its own.

    Where none can be kept, the guarded pages stay closed and the rest is answered as ever.
    """
    if settings.token is not None:
        return settings.token
    try:
        return KeptToken(_kept_file(settings), redactor)
    except (TokenFileError, UsageError) as error:
        logger.warning(
            "%s Until then the guarded pages answer nobody.",
            error,
            extra={"event": "sidecar.token.missing"},
        )
        return None


def show_token(settings: Settings, *, rotate: bool) -> str:
    """Return the kept token for a person, another one after a rotation.

    Raises:
        UsageError: The token is configured, or has to be.
        TokenFileError: It cannot be read or kept.
    """
    if settings.token is not None:
        raise UsageError(
            "The token is the value of SIDECAR_TOKEN, which is not printed. Change it there, and "
            "start again; `sidecar token --link` prints a link for a browser."
        )
    file = _kept_file(settings)
    secret = file.rotate() if rotate else file.obtain()[0]
    return secret.reveal()


def show_link(settings: Settings, port: int | None = None) -> str:
    """Return a link that opens the status page in a browser for ten minutes.

    `port` is the one that the probe process was given on its command line.

    Raises:
        UsageError: A token has to be configured first.
        TokenFileError: It cannot be read or kept.
    """
    token = settings.token or _kept_file(settings).obtain()[0]
    return link_for(token, address_of(settings.host, settings.port if port is None else port))


def link_for(token: Secret | KeptToken, address: str) -> str:
    """Return a link that lets a browser in for ten minutes from now on."""
    return login_link(address, token.reveal(), time.time())


def address_of(host: str, port: int) -> str:
    """Return where a browser on this machine finds a server that listens there."""
    reached = _EVERYWHERE.get(host, host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def _kept_file(settings: Settings) -> TokenFile:
    if settings.environment.is_strict:
        raise UsageError(
            f"No token is made in {settings.environment}. Set SIDECAR_TOKEN to the output of "
            "`sidecar secret`."
        )
    return TokenFile(settings.data_directory)
