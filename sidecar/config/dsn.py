"""The parts of a PostgreSQL address as asyncpg reads them, and those that may be shown.

asyncpg is the driver that is given the address, so its reading decides and not libpq's, which
knows more parameters: `asyncpg.connect_utils` is the source of the rules here.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import cycle
from types import MappingProxyType
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sidecar.config.opaque import has_opaque, without_opaque_ports
from sidecar.config.secret import Secret

SCHEMES = ("postgresql", "postgres")
DEFAULT_PORT = 5432
SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_NOTHING: Mapping[str, str] = MappingProxyType({})
_SECRET_OPTIONS = ("password", "sslpassword")
_BRACKETED = re.compile(r"\[([^\]]+)\](?::([0-9]+))?")
_HOST = re.compile(r"[\w.-]{1,253}")
_SOCKET = re.compile(r"/[A-Za-z0-9_./-]{0,255}")
_SHOWN_HOST = re.compile(r"[A-Za-z0-9_./:-]{1,253}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")
# A database of any other name is rare; one with these is an address with a mark forgotten.
_MARKS = re.compile(r"[&;?=@:#/]")
# What a generator makes: a password that has slipped into another part of the address.
_GENERATED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9_-]{12,}")


class DsnError(ValueError):
    """A DATABASE_URL that cannot be understood; the message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Host:
    """One of the servers that an address names.

    Attributes:
        name: A name, an address without brackets, or a socket's folder; `None` for the driver's
            choice, which is the local socket.
    """

    name: str | None
    port: int

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: a socket, a loopback address or its name."""
        if self.name is None or self.name.startswith("/"):
            return True
        if self.name.lower() in {"localhost", "host.docker.internal"}:
            return True
        try:
            return ipaddress.ip_address(self.name).is_loopback
        except ValueError:
            return False

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine by TCP, not by a socket."""
        return self.is_local and self.name is not None and not self.name.startswith("/")

    @property
    def is_sound(self) -> bool:
        """Whether the name has the letters of a host, an address or a socket's folder only."""
        if self.name is None or _HOST.fullmatch(self.name) or _SOCKET.fullmatch(self.name):
            return True
        try:
            return "%" not in self.name and bool(ipaddress.ip_address(self.name))
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, repr=False)
class Dsn:
    """A parsed DATABASE_URL.

    Attributes:
        hosts: In the order in which the driver tries them; at least one.
        user: `None` when the driver chooses.
        password: From the user part or the query.
        database: `None` when the driver chooses.
        options: The query, decoded, without passwords.
    """

    scheme: str
    hosts: tuple[Host, ...]
    user: str | None
    password: Secret | None
    database: str | None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, defaults: Mapping[str, str] = _NOTHING) -> Self:
        """Read an address as asyncpg does; parts of it may be `opaque`.

        The driver takes what the address leaves out from PGHOST, PGPORT, PGUSER, PGDATABASE and
        PGSSLMODE, where they are set: the defaults.

        Raises:
            DsnError: With what is wrong and what is expected, never with the text.
        """
        parts = _split(without_opaque_ports(text))
        options = _options(parts.query)
        userinfo, _, netloc = parts.netloc.rpartition("@")
        user, _, in_userinfo = userinfo.partition(":")
        secret = unquote(in_userinfo) or options.get("password")
        named = options.get("dbname") or options.get("database") or defaults.get("PGDATABASE")
        parsed = cls(
            scheme=parts.scheme,
            hosts=_hosts(netloc, options, defaults),
            user=unquote(user) or options.get("user") or defaults.get("PGUSER") or None,
            password=None if secret is None else Secret(secret),
            database=unquote(parts.path.removeprefix("/")) or named or None,
            options=_open_options(options, defaults),
        )
        parsed._check()
        return parsed

    @classmethod
    def find(cls, text: str, defaults: Mapping[str, str] = _NOTHING) -> Self | None:
        """Read an address as `parse` does; `None` for what cannot be understood."""
        with suppress(DsnError):
            return cls.parse(text, defaults)
        return None

    @property
    def host(self) -> str | None:
        """Return the name of the first host; `None` for the local socket."""
        return self.hosts[0].name

    @property
    def port(self) -> int:
        """Return the port of the first host."""
        return self.hosts[0].port

    @property
    def sslmode(self) -> str | None:
        """Return the mode asked for, one of SSLMODES; `None` leaves the driver's `prefer`."""
        mode = self.options.get("sslmode")
        return mode.replace("_", "-") if mode else None

    @property
    def is_local(self) -> bool:
        """Whether every host is on this machine."""
        return all(host.is_local for host in self.hosts)

    def shown(self) -> dict[str, str | int | None]:
        """Return scheme, first host, port and database: never user, password or query.

        A part that may hold what was meant for another, such as a password, is left out.
        """
        return {
            "scheme": self.scheme,
            "host": self.host if _is_fit_to_show(self.host or "", _SHOWN_HOST) else None,
            "port": self.port,
            "database": self.database if _is_fit_to_show(self.database or "", _NAME) else None,
        }

    def __repr__(self) -> str:
        return f"Dsn({self.shown()})"

    def _check(self) -> None:
        if not all(host.is_sound for host in self.hosts):
            raise DsnError(
                "Its host holds characters that no host has; "
                "the : and @ around the password are written as they are."
            )
        if _MARKS.search(self.database or ""):
            raise DsnError(
                "The name of its database holds one of & ; ? = @ : # /. "
                "Parameters begin with ? and are parted by &."
            )
        if self.sslmode and self.sslmode not in SSLMODES and not has_opaque(self.sslmode):
            raise DsnError(f"Its sslmode, or PGSSLMODE, is none of {', '.join(SSLMODES)}.")


def _is_fit_to_show(text: str, pattern: re.Pattern[str]) -> bool:
    return pattern.fullmatch(text) is not None and _GENERATED.fullmatch(text) is None


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
    if parts.netloc.count("@") > 1:
        raise DsnError("Its user or password holds an @ that is not percent-encoded: write %40.")
    return parts


def _is_split_inside_password(parts: SplitResult) -> bool:
    """Return True when an unencoded `/`, `?` or `#` has made path or query of half a password.

    Shown as the database's name, that half would leak.
    """
    is_in_query = "@" in parts.query and "@" not in parts.netloc
    return "@" in parts.path or "/" in parts.path[1:] or bool(parts.fragment) or is_in_query


def _options(query: str) -> dict[str, str]:
    """Return the parameters; of two alike the last counts, and an empty one is none."""
    options = None
    with suppress(ValueError):
        options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    if options is None:
        raise DsnError("A parameter in its query has no value; write name=value, parted by &.")
    return options


def _open_options(options: Mapping[str, str], defaults: Mapping[str, str]) -> Mapping[str, str]:
    """Leave passwords out, and take the driver's default for sslmode."""
    shown = {name: value for name, value in options.items() if name not in _SECRET_OPTIONS}
    if "sslmode" not in shown and defaults.get("PGSSLMODE"):
        shown["sslmode"] = defaults["PGSSLMODE"]
    return MappingProxyType(shown)


def _hosts(
    netloc: str, options: Mapping[str, str], defaults: Mapping[str, str]
) -> tuple[Host, ...]:
    """Read the comma-separated hosts: of the address, of its query, or of PGHOST."""
    hosts = None
    with suppress(ValueError):
        if netloc:
            named = _named_hosts(netloc, _ports(defaults.get("PGPORT")))
            hosts = tuple(replace(host, name=unquote(host.name or "")) for host in named)
        else:
            listed = options.get("host") or defaults.get("PGHOST") or ""
            hosts = _hosts_of_query(listed, options.get("port"), defaults.get("PGPORT"))
    if hosts is None:
        raise DsnError("Its port is not a number of 1 to 65535, or a host has no name.")
    return hosts


def _hosts_of_query(listed: str, port: str | None, usual: str | None) -> tuple[Host, ...]:
    ports = _ports(port or usual)
    if not listed:
        return (Host(None, ports[0]),)
    named = _named_hosts(listed, ports)
    if not port:
        return named
    # The parameter outweighs what stands behind a name.
    return tuple(replace(host, port=each) for host, each in zip(named, cycle(ports), strict=False))


def _named_hosts(listed: str, ports: list[int]) -> tuple[Host, ...]:
    """Part each host from the port behind it; `ports` are one for all, or one for each.

    Raises:
        ValueError: A host is empty, a port is no number, or their counts differ.
    """
    names = listed.split(",")
    if len(ports) == 1:
        ports = ports * len(names)
    return tuple(_host(name, port) for name, port in zip(names, ports, strict=True))


def _host(text: str, usual_port: int) -> Host:
    if text.startswith("/"):
        return Host(text, usual_port)
    bracketed = _BRACKETED.fullmatch(text)
    name, port = bracketed.groups() if bracketed else text.partition(":")[::2]
    if not name:
        raise ValueError
    return Host(name, _port(port) if port else usual_port)


def _ports(text: str | None) -> list[int]:
    return [_port(each) for each in text.split(",")] if text else [DEFAULT_PORT]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len("65535")):
        raise ValueError
    port = int(text)
    if not 0 < port < 1 << 16:
        raise ValueError
    return port
