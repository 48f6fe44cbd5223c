"""Which parts of a database URL a sentence may name: never more than is certainly no secret."""

import re
from dataclasses import dataclass
from typing import Final, Self

_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"
# Whatever else a URL may be is not taken apart: half of a password that holds a / or a # would
# read as a host or a database.
_PLAIN: Final = re.compile(
    rf"postgres(?:ql)?://(?:(?P<role>{_NAME})(?::[^/?#@]*)?@)?"
    rf"(?P<host>{_NAME}|\[[0-9A-Fa-f:.]+\])?(?::(?P<port>[0-9]{{1,5}}))?"
    rf"(?:/(?P<database>{_NAME})?)?(?:\?[^@#]*)?"
)
_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class DsnParts:
    """Where a database is and who asks for it; None where that is not plain.

    Attributes:
        is_socket: Whether the URL leads to a Unix socket.
    """

    role: str | None = None
    host: str | None = None
    port: str | None = None
    database: str | None = None
    is_socket: bool = False

    @classmethod
    def of(cls, dsn: str) -> Self:
        """Read a database URL."""
        found = _PLAIN.fullmatch(dsn)
        if found is None:
            return cls()
        parts = found.groupdict()
        return cls(**parts, is_socket=parts["host"] is None)

    @property
    def words(self) -> dict[str, str]:
        """What sentences and statements call its parts."""
        return {
            "role": f"role {self.role}" if self.role else "the role of DATABASE_URL",
            "database": (
                f"database {self.database}" if self.database else "the database of DATABASE_URL"
            ),
            "server": self._server(),
            "host": self.host or "HOST",
            "role_name": quote(self.role) if self.role else "ROLE",
            "database_name": quote(self.database) if self.database else "DATABASE",
        }

    def _server(self) -> str:
        if self.is_socket:
            return "the socket of DATABASE_URL"
        return f"{self.host}:{self.port or 5432}" if self.host else "the server of DATABASE_URL"


def quote(name: str) -> str:
    """Write a name as SQL takes it."""
    return name if _IDENTIFIER.fullmatch(name) else '"' + name.replace('"', '""') + '"'
