"""The cause of an error at the opening of a connection."""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import asyncpg

from sidecar.diagnosis.cause import Cause
from sidecar.diagnosis.dsn_parts import DsnParts
from sidecar.diagnosis.explanation import Explanation, explain
from sidecar.errors import StoreUnreachableError, trace_back

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_SQLSTATE: Final = {
    # A pooler that refuses one of our settings.
    "08P01": Cause.REFUSED,
    "28P01": Cause.PASSWORD_REFUSED,
    "28000": Cause.ROLE_REFUSED,
    "3D000": Cause.DATABASE_MISSING,
    "42501": Cause.CONNECT_NOT_GRANTED,
    "53300": Cause.SLOTS_FULL,
    "55000": Cause.DATABASE_CLOSED,
    "57P01": Cause.STARTING,
    "57P02": Cause.STARTING,
    "57P03": Cause.STARTING,
}
_CONNECTION_CLASS: Final = "08"

# The server's texts are in its language; of an unknown one the wider cause is reported.
_BY_TEXT: Final = (
    ("28000", "not permitted to log in", Cause.ROLE_MAY_NOT_LOG_IN),
    ("28000", "no encryption", Cause.REFUSED_WITHOUT_TLS),
    ("28000", "pg_hba.conf", Cause.REFUSED_BY_HBA),
    ("53300", "connections for role", Cause.ROLE_LIMIT),
    ("53300", "connections for database", Cause.DATABASE_LIMIT),
)

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: Cause.NOTHING_LISTENS,
    errno.EHOSTUNREACH: Cause.HOST_UNREACHABLE,
    errno.ENETUNREACH: Cause.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Cause.HOST_UNREACHABLE,
    errno.EADDRNOTAVAIL: Cause.HOST_UNREACHABLE,
    errno.EACCES: Cause.HOST_UNREACHABLE,
    errno.EPERM: Cause.HOST_UNREACHABLE,
    errno.ETIMEDOUT: Cause.NO_ANSWER,
    errno.ECONNRESET: Cause.CUT_OFF,
    errno.EPIPE: Cause.CUT_OFF,
    errno.ENOENT: Cause.CERTIFICATE_FILE_MISSING,
    errno.EMFILE: Cause.DESCRIPTORS_OUT,
    errno.ENFILE: Cause.DESCRIPTORS_OUT,
}
_ON_SOCKET: Final = {errno.ENOENT, errno.ECONNREFUSED, errno.EACCES, errno.ENOTDIR}

# OpenSSL's X509_V_ERR_*: certificate has expired, is not yet valid; hostname, address mismatch.
_BY_VERIFY_CODE: Final[dict[int | None, Cause]] = {
    9: Cause.CERTIFICATE_EXPIRED,
    10: Cause.CERTIFICATE_EXPIRED,
    62: Cause.CERTIFICATE_OF_OTHER_HOST,
    64: Cause.CERTIFICATE_OF_OTHER_HOST,
}

_BY_CLASS: Final = (
    (asyncpg.exceptions.TargetServerAttributeNotMatched, Cause.NO_HOST_FITS),
    (UnicodeError, Cause.NAME_INVALID),
)

_REFUSED: Final = asyncpg.InvalidAuthorizationSpecificationError

# In asyncio's error when all of several addresses of one name fail.
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


def unreachable(error: BaseException, dsn: str) -> StoreUnreachableError:
    """Make an error that says why no session could be opened, without any secret.

    Args:
        error: Raised at the opening of a connection.
        dsn: Where the server is; at most role, host and database of it appear in the message.
    """
    parts = DsnParts.of(dsn)
    for each in _chain(error):
        cause = find_cause(each, is_socket=parts.is_socket)
        if cause is not None:
            return _make(explain(cause, parts, _mark(each)))
    return _make(explain(Cause.REFUSED, parts, _mark(error)))


def no_answer(dsn: str) -> StoreUnreachableError:
    """Make the error of a server that did not answer in time."""
    return _make(explain(Cause.NO_ANSWER, DsnParts.of(dsn)))


def find_cause(error: BaseException, *, is_socket: bool) -> Cause | None:
    """Return the cause that an error points to; None when it points to none by itself."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_answer(error)
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, OSError):
        return _of_link(error, is_socket=is_socket)
    return next((cause for kind, cause in _BY_CLASS if isinstance(error, kind)), None)


def _of_answer(error: asyncpg.PostgresError) -> Cause | None:
    sqlstate = error.sqlstate or ""
    text = str(error.args[0]) if error.args else ""
    for code, part, cause in _BY_TEXT:
        if sqlstate == code and part in text:
            return cause
    fallback = Cause.CUT_OFF if sqlstate.startswith(_CONNECTION_CLASS) else None
    return _BY_SQLSTATE.get(sqlstate, fallback)


def _of_tls(error: ssl.SSLError) -> Cause:
    if isinstance(error, ssl.SSLCertVerificationError):
        # Only OpenSSL sets the code.
        code = getattr(error, "verify_code", None)
        return _BY_VERIFY_CODE.get(code, Cause.CERTIFICATE_UNTRUSTED)
    return Cause.TLS_FAILED


def _of_link(error: OSError, *, is_socket: bool) -> Cause | None:
    if isinstance(error, socket.gaierror):
        is_silent = error.errno == socket.EAI_AGAIN
        return Cause.RESOLVER_SILENT if is_silent else Cause.NAME_UNKNOWN
    if isinstance(error, TimeoutError):
        return Cause.NO_ANSWER
    if error.errno is None:
        return _of_text(str(error), is_socket=is_socket)
    if is_socket and error.errno in _ON_SOCKET:
        return Cause.SOCKET_MISSING
    return _BY_ERRNO.get(error.errno)


def _of_text(text: str, *, is_socket: bool) -> Cause | None:
    """Read texts of asyncpg and asyncio, which carry no error number."""
    if "rejected SSL upgrade" in text:
        return Cause.TLS_NOT_OFFERED
    if "connection_lost" in text or "closed during TLS" in text:
        return Cause.CUT_OFF
    numbers = [int(number) for number in _ERRNO.findall(text)]
    return _of_link(OSError(numbers[-1], ""), is_socket=is_socket) if numbers else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes.

    With sslmode=prefer the attempt over TLS comes first; where both are refused alike, it counts.
    """
    over_tls = error.__cause__
    if isinstance(error, _REFUSED) and isinstance(over_tls, _REFUSED):
        yield over_tls
    yield from trace_back(error)


def _mark(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return f"SQLSTATE {error.sqlstate}"
    return type(error).__name__


def _make(explanation: Explanation) -> StoreUnreachableError:
    return StoreUnreachableError(explanation.sentence(), **asdict(explanation))
