"""The parts of a PostgreSQL address, and the parts of it that may be shown."""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sidecar.config.opaque import without_opaque_ports
from sidecar.config.secret import Secret

SCHEMES = ("postgresql", "postgres")
DEFAULT_PORT = 5432


class DsnError(ValueError):
    """A DATABASE_URL that cannot be understood; the message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A parsed DATABASE_URL.

    Attributes:
        host: First host; `None` for the local socket.
        port: First port.
        user: `None` when the driver chooses.
        password: From the user part or the query.
        database: `None` when the driver chooses.
        options: The query, decoded, without password.
    """

    scheme: str
    host: str | None
    port: int
    user: str | None
    password: Secret | None
    database: str | None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address of libpq's URI form; parts of it may be `opaque`.

        Raises:
            DsnError: With what is wrong and what is expected, never with the text.
        """
        parts = _split(without_opaque_ports(text))
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        password = options.pop("password", None)
        userinfo, _, hosts = parts.netloc.rpartition("@")
        user, colon, in_userinfo = userinfo.partition(":")
        host, port = _first_host(hosts, options)
        secret = unquote(in_userinfo) if colon else password
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port,
            user=unquote(user) or options.get("user"),
            password=None if secret is None else Secret(secret),
            database=unquote(parts.path.removeprefix("/")) or options.get("dbname"),
            options=MappingProxyType(options),
        )

    @property
    def sslmode(self) -> str | None:
        """Give the mode asked for, in lower case; `None` leaves the driver's `prefer`."""
        mode = self.options.get("sslmode") or self.options.get("ssl")
        return mode.lower() if mode else None

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: a socket, a loopback address or its name."""
        if self.host is None or self.host.startswith("/"):
            return True
        if self.host.lower() in {"localhost", "host.docker.internal"}:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def shown(self) -> dict[str, str | int | None]:
        """Give scheme, host, port and database: never user, password or query."""
        return {
            "scheme": self.scheme,
            "host": self.host,
            "port": self.port,
            "database": self.database,
        }


def _split(text: str) -> SplitResult:
    if not text.isprintable():
        raise DsnError("It holds a control character or is not UTF-8; copy the address again.")
    # Raised outside of the handler: the context of an exception would carry the address along.
    parts = None
    with suppress(ValueError):
        parts = urlsplit(text)
    if parts is None:
        raise DsnError("It is not an address; brackets are for IPv6 hosts only.")
    if parts.scheme.partition("+")[0] in SCHEMES and "+" in parts.scheme:
        raise DsnError("It names a driver; write postgresql:// without one.")
    if parts.scheme not in SCHEMES:
        raise DsnError("It does not begin with postgresql://.")
    if _is_split_inside_password(parts):
        raise DsnError("Its password holds one of / ? # that is not percent-encoded.")
    return parts


def _is_split_inside_password(parts: SplitResult) -> bool:
    """Tell whether an unencoded `/`, `?` or `#` has made path or query of half a password.

    Shown as the database's name, that half would leak.
    """
    is_in_query = "@" in parts.query and "@" not in parts.netloc
    return "@" in parts.path or "/" in parts.path[1:] or bool(parts.fragment) or is_in_query


def _first_host(hosts: str, options: Mapping[str, str]) -> tuple[str | None, int]:
    """Take the first of libpq's comma-separated hosts; the query may hold them instead."""
    first = hosts.partition(",")[0]
    place: tuple[str | None, int | None] | None = None
    with suppress(ValueError):
        parts = urlsplit(f"//{first}")
        place = parts.hostname, parts.port
    if place is None:
        raise DsnError("Its port is not a number of 1 to 65535.")
    host, port = place
    if host is None:
        host = options.get("host", "").partition(",")[0] or None
    if port is None:
        in_query = options.get("port", "").partition(",")[0]
        port = int(in_query) if in_query.isascii() and in_query.isdecimal() else DEFAULT_PORT
    return (unquote(host) if host else None), port
