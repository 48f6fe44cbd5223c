"""Which errors are transient: decided here, and nowhere else."""

from typing import Final

import asyncpg

from sidecar.errors import (
    LogShortenedError,
    SerializationConflictError,
    StoreUnavailableError,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html: connection exception, transaction
# rollback (serialization, deadlock), insufficient resources, operator intervention but for a
# cancelled statement, which a limit causes that somebody set, and which counts as a timeout. And
# 25006: a server that was demoted, or whose disk is nearly full, takes no writes for a while.
_CLASSES: Final = frozenset({"08", "40", "53"})
_ERRORS: Final = (SerializationConflictError, StoreUnavailableError, LogShortenedError)
_CODES: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "55P03", "25006"})


def is_transient(error: BaseException) -> bool:
    """Return True when the same work can succeed later without any change."""
    if isinstance(error, _ERRORS):
        return True
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(error, asyncpg.PostgresError) and isinstance(sqlstate, str):
        return sqlstate[:2] in _CLASSES or sqlstate in _CODES
    return False
