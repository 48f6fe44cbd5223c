"""The forms that a variable's value can take, each with what it may show of itself."""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.dsn import Dsn, DsnError
from sidecar.config.secret import Secret

T = TypeVar("T")
EnumT = TypeVar("EnumT", bound=StrEnum)

Shown = None | bool | int | float | str | Sequence[str] | Mapping[str, str | int | None]

_LONGEST_NAME = 255
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PORTS = range(1, 65536)
_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How text becomes a value.

    Attributes:
        expected: Completes "X is not ..."; shown to people.
        example: A value that fits.
        read: Raises `ValueError` when the text does not fit; its message is dropped, because
            messages of the standard library repeat the text.
        show: What a report may show of the value; `None` leaves set or unset, and the length.
    """

    expected: str
    example: str
    read: Callable[[str], T]
    show: Callable[[T], Shown] | None = None


def whole(minimum: int, example: int, maximum: int = 1_000_000) -> Form[int]:
    """Take a whole number within bounds, both included."""

    def read(text: str) -> int:
        # `int` alone accepts 1_000 and Arabic-Indic digits, and takes seconds over long text.
        if len(text) > len(str(maximum)) + 1 or not text.isascii() or "_" in text:
            raise ValueError
        number = int(text)
        if not minimum <= number <= maximum:
            raise ValueError
        return number

    return Form(
        f"a whole number of {minimum} to {maximum}", str(example), read, lambda value: value
    )


def seconds(example: float, maximum: float = 86_400.0) -> Form[float]:
    """Take a duration in seconds, 0 or more and finite."""

    def read(text: str) -> float:
        if len(text) > len("0.000000000000001") or not text.isascii() or "_" in text:
            raise ValueError
        number = float(text)
        if not math.isfinite(number) or not 0 <= number <= maximum:
            raise ValueError
        return number

    return Form(
        f"a number of seconds from 0 to {maximum:g}", f"{example:g}", read, lambda value: value
    )


def switch() -> Form[bool]:
    """Take on or off in the usual spellings."""

    def read(text: str) -> bool:
        lower = text.lower()
        if lower not in _ON | _OFF:
            raise ValueError
        return lower in _ON

    return Form("true or false", "false", read, lambda value: value)


def choice(names: type[EnumT], example: EnumT) -> Form[EnumT]:
    """Take a member of a closed set by its value, case aside."""
    members = {member.value.lower(): member for member in names}

    def read(text: str) -> EnumT:
        member = members.get(text.lower())
        if member is None:
            raise ValueError
        return member

    return Form(f"one of {', '.join(names)}", example, read, lambda value: value.value)


def port(example: int) -> Form[int]:
    """Take a TCP port; 0 asks the system for a free one."""
    return whole(0, example, maximum=_PORTS[-1])


def bind_host() -> Form[str]:
    """Take an address or a name to listen on; a name is not shown, for it may be anything."""

    def read(text: str) -> str:
        if not is_host(text):
            raise ValueError
        return text

    def show(value: str) -> Shown:
        return value if value == "localhost" or is_address(value) else None

    return Form("an address to listen on", "127.0.0.1", read, show)


def http_url(example: str) -> Form[str]:
    """Take an http or https address without a user in it."""

    def show(value: str) -> Shown:
        parts = urlsplit(value)
        return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}

    return Form(
        "an http:// or https:// address without user and password", example, _read_url, show
    )


def http_urls(example: str) -> Form[tuple[str, ...]]:
    """Take http or https addresses without a user in them, separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        urls = (_read_url(part.strip()) for part in text.split(",") if part.strip())
        return tuple(dict.fromkeys(urls))

    def show(value: tuple[str, ...]) -> Shown:
        return [f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, value)]

    return Form(
        "http:// or https:// addresses without user and password, separated by commas",
        example,
        read,
        show,
    )


def _read_url(text: str) -> str:
    parts = urlsplit(text)
    is_plain = parts.username is None and text.isascii() and " " not in text
    is_web = parts.scheme in {"http", "https"} and is_host(parts.hostname or "")
    if not is_web or not is_plain or parts.port == 0:
        raise ValueError
    return text


def name(example: str) -> Form[str]:
    """Take a short name of printable characters."""

    def read(text: str) -> str:
        if not text.isprintable() or len(text) > _LONGEST_NAME:
            raise ValueError
        return text

    return Form(f"a name of at most {_LONGEST_NAME} printable characters", example, read)


def path(example: str) -> Form[Path]:
    """Take a path; a NUL would only fail later, far from its cause."""

    def read(text: str) -> Path:
        if not text.isprintable():
            raise ValueError
        return Path(text).expanduser()

    return Form("a path", example, read)


def secret(example: str) -> Form[Secret]:
    """Take any text as a secret, exactly as it is."""
    return Form("a secret", example, Secret)


def database_url(example: str) -> Form[Secret]:
    """Take a DATABASE_URL as a secret; whether it can be parsed is for the rules to tell."""

    def show(value: Secret) -> Shown:
        try:
            return Dsn.parse(value.reveal()).shown()
        except DsnError:
            return None

    return Form("a postgresql:// address", example, Secret, show)


def cors() -> Form[CorsPolicy]:
    """Take origins, parted by commas or as a JSON list."""
    return Form(
        "a list of origins, parted by commas or in JSON",
        "https://app.example.com",
        CorsPolicy.parse,
        lambda policy: list(policy.origins),
    )


def is_host(text: str) -> bool:
    """Tell whether text is an address or has the letters of a host's name."""
    return is_address(text) or _HOST_NAME.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Tell whether text is an IPv4 or IPv6 address, without a scope: that may be any text."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
