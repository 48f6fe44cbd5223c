"""The forms that a variable's value can take, each with what it may show of itself."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.dsn import Dsn
from sidecar.config.fault import FaultKind
from sidecar.config.secret import Secret

T = TypeVar("T")
EnumT = TypeVar("EnumT", bound=StrEnum)
Number = TypeVar("Number", int, float)

Shown = None | bool | int | float | str | Sequence[str] | Mapping[str, str | int | None]

_LONGEST_NAME = 255
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_LONGEST_SECONDS = 86_400
# Leaves room for what is put in front of it and behind it in PostgreSQL's 63 bytes.
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
# PostgreSQL's own, everybody's, and those that hold the copies of read models.
_TAKEN = re.compile(r"pg_.*|public|information_schema|sidecar_(new|old|verify|step|check)(_.*)?")
DEFAULT_SCHEMA: Final = "sidecar"
_ON = dict.fromkeys(("1", "true", "yes", "on"), True)
_OFF = dict.fromkeys(("0", "false", "no", "off"), False)


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How text becomes a value.

    Attributes:
        expected: Completes "X is not ..."; shown to people.
        read: Raises `ValueError`, and nothing else, when the text does not fit; its message is
            dropped, because messages of the standard library repeat the text.
        show: What a report may show of the value; `None` leaves set or unset, and the length.
        example: A value that fits; `None` where the default is one.
        is_secret: Nothing of the value may be seen, and blanks or quotes around it belong to it.
        misfit: The kind of fault that other text is.
    """

    expected: str
    read: Callable[[str], T]
    show: Callable[[T], Shown] | None = None
    example: str | None = None
    is_secret: bool = False
    misfit: FaultKind = FaultKind.FORM


def whole(minimum: int, maximum: int = 1_000_000, misfit: FaultKind = FaultKind.FORM) -> Form[int]:
    """Accept a whole number within bounds, both included."""
    read = _within(int, minimum, maximum, longest=len(str(maximum)) + 1)
    return Form(f"a whole number of {minimum} to {maximum}", read, _plain, misfit=misfit)


def choice(names: type[EnumT]) -> Form[EnumT]:
    """Accept a member of a closed set by its value, case aside."""
    read = _one_of({member.value.lower(): member for member in names})
    return Form(f"one of {', '.join(names)}", read, lambda value: value.value)


def form_of(default: object) -> Form[Any]:
    """Return the form of the values that are of a default's type."""
    if isinstance(default, StrEnum):
        return choice(type(default))
    return next(form for kind, form in _FORMS.items() if isinstance(default, kind))


def _plain(value: Shown) -> Shown:
    return value


def _within(
    convert: Callable[[str], Number], minimum: int, maximum: int, *, longest: int
) -> Callable[[str], Number]:
    def read(text: str) -> Number:
        # `int` alone accepts 1_000 and Arabic-Indic digits, and takes seconds over long text.
        if len(text) > longest or not text.isascii() or "_" in text:
            raise ValueError
        number = convert(text)
        if not minimum <= number <= maximum:  # not a number is neither
            raise ValueError
        return number

    return read


def _one_of(values: Mapping[str, T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        if text.lower() not in values:
            raise ValueError
        return values[text.lower()]

    return read


def _read_host(text: str) -> str:
    if not is_host(text):
        raise ValueError
    return text


def _show_host(value: str) -> Shown:
    """Show an address; a name may be anything."""
    return value if value == "localhost" or is_address(value) else None


def _read_url(text: str) -> str:
    parts = urlsplit(text)
    is_plain = parts.username is None and text.isascii() and " " not in text
    is_web = parts.scheme in {"http", "https"} and is_host(parts.hostname or "")
    if not is_web or not is_plain or parts.port == 0:
        raise ValueError
    return text


def _show_url(value: str) -> Shown:
    parts = urlsplit(value)
    return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}


def _read_urls(text: str) -> tuple[str, ...]:
    urls = (_read_url(part.strip()) for part in text.split(",") if part.strip())
    return tuple(dict.fromkeys(urls))


def _show_urls(value: tuple[str, ...]) -> Shown:
    return [f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, value)]


def _read_name(text: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST_NAME:
        raise ValueError
    return text


def _read_schema(text: str) -> str:
    if _SCHEMA.fullmatch(text) is None or _TAKEN.fullmatch(text) is not None:
        raise ValueError
    return text


def _read_path(text: str) -> Path:
    if not text.isprintable():  # a NUL would only fail later, far from its cause
        raise ValueError
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~user of a user that this machine does not know
        raise ValueError from error


def _show_database(value: Secret) -> Shown:
    dsn = Dsn.find(value.reveal())
    return None if dsn is None else dsn.shown()


def is_host(text: str) -> bool:
    """Return True when text is an address or has the letters of a host's name."""
    return is_address(text) or _HOST_NAME.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Return True when text is an IPv4 or IPv6 address, without a scope: that may be any text."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


SECONDS: Final = Form(
    f"a number of seconds from 0 to {_LONGEST_SECONDS}",
    _within(float, 0, _LONGEST_SECONDS, longest=len("0.000000000000001")),
    _plain,
)
SWITCH: Final = Form("true or false", _one_of(_ON | _OFF), _plain, "false")
PORT: Final = whole(0, 65535)
"""0 asks the system for a free one."""
POOL_SIZE: Final = whole(1, misfit=FaultKind.POOL)
HOST: Final = Form("an address to listen on", _read_host, _show_host, "127.0.0.1")
HTTP_URL: Final = Form(
    "an http:// or https:// address without user and password",
    _read_url,
    _show_url,
    "http://127.0.0.1:8000/health",
)
HTTP_URLS: Final = Form(
    "http:// or https:// addresses without user and password, separated by commas",
    _read_urls,
    _show_urls,
    "http://shop-1:8687,http://shop-2:8687",
)
NAME: Final = Form(
    f"a name of at most {_LONGEST_NAME} printable characters", _read_name, None, "shop"
)
SCHEMA: Final = Form(
    "a name for a schema of the sidecar's own: at most 40 letters, digits, _ and -, not beginning "
    "with a digit, - or pg_, and neither public nor information_schema nor that of a copy",
    _read_schema,
    _plain,
    "billing",
    misfit=FaultKind.SCHEMA,
)
PATH: Final = Form("a path", _read_path)
SECRET: Final = Form("a secret", Secret, None, "the output of: sidecar secret", is_secret=True)
API_KEY: Final = replace(SECRET, example="the key from the provider's console")
DATABASE_URL: Final = Form(
    "a postgresql:// address",
    Secret,
    _show_database,
    "postgresql://shop@db.internal:5432/shop?sslmode=verify-full",
)
"""A secret of which parts may be seen; whether it can be parsed is for the rules to say."""
CORS: Final = Form(
    "a list of origins, parted by commas or in JSON",
    CorsPolicy.parse,
    lambda policy: list(policy.origins),
    "https://app.example.com",
)

_FORMS: dict[type, Form[Any]] = {bool: SWITCH, float: SECONDS, Path: PATH, CorsPolicy: CORS}
