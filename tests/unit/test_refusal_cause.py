"""What an error of opening a connection means, whatever language the server speaks."""

import errno
import socket
import ssl

import asyncpg
import pytest

from sidecar.diagnosis.cause import Cause
from sidecar.postgres.connect_failure import find_cause, unreachable
from sidecar.postgres.pools.pool import ConnectTimeoutError

DSN = "postgresql://shop:canary@db.internal/orders"


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(f"certificate verify failed: canary {code}")
    error.verify_code = code
    return error


def answer(sqlstate: str, text: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": sqlstate, "M": text})


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (certificate(10), Cause.CERTIFICATE_EXPIRED),
        (certificate(9), Cause.CERTIFICATE_EXPIRED),
        (certificate(18), Cause.CERTIFICATE_UNTRUSTED),
        (certificate(20), Cause.CERTIFICATE_UNTRUSTED),
        (certificate(62), Cause.CERTIFICATE_OF_OTHER_HOST),
        (ssl.SSLError(1, "wrong version number"), Cause.TLS_FAILED),
        (FileNotFoundError(errno.ENOENT, "canary"), Cause.CERTIFICATE_FILE_MISSING),
        (socket.gaierror(socket.EAI_NONAME, "canary"), Cause.NAME_UNKNOWN),
        (socket.gaierror(socket.EAI_AGAIN, "canary"), Cause.RESOLVER_SILENT),
        (OSError(errno.EHOSTUNREACH, "canary"), Cause.HOST_UNREACHABLE),
        (OSError(errno.EMFILE, "canary"), Cause.DESCRIPTORS_OUT),
        (OSError("Multiple exceptions: [Errno 111] ::1, [Errno 111] x"), Cause.NOTHING_LISTENS),
        (ConnectionResetError(errno.ECONNRESET, "canary"), Cause.CUT_OFF),
        (TimeoutError(), Cause.NO_ANSWER),
        (answer("28P01", "Passwort-Authentifizierung"), Cause.PASSWORD_REFUSED),
        (answer("28000", "kein Eintrag, keine Verschlüsselung"), Cause.ROLE_REFUSED),
        (answer("53300", "zu viele Verbindungen"), Cause.SLOTS_FULL),
        (answer("57P03", "das Datenbanksystem startet"), Cause.STARTING),
        (answer("08P01", "unsupported startup parameter"), Cause.REFUSED),
        (answer("XX000", "canary"), None),
    ],
    ids=repr,
)
def test_an_error_has_its_cause(error: Exception, cause: Cause | None) -> None:
    assert find_cause(error, is_socket=False) == cause
    told = unreachable(error, DSN)
    assert told.cause == (cause or Cause.REFUSED)
    assert "canary" not in str(told)


def test_the_attempt_over_tls_counts_where_both_are_refused() -> None:
    plain = answer("28000", "no pg_hba.conf entry for host, no encryption")
    plain.__cause__ = answer("28000", "no pg_hba.conf entry for host, SSL encryption")
    assert unreachable(plain, DSN).cause == Cause.REFUSED_BY_HBA


def test_what_led_to_an_error_without_meaning_is_told() -> None:
    error = ConnectTimeoutError()
    error.__cause__ = TimeoutError()
    assert unreachable(error, DSN).cause == Cause.NO_ANSWER
