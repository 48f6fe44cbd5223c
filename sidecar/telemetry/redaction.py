"""Masks secrets in all text that leaves the process."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from sidecar.config.secret import Secret

MASK: Final = "***"
MIN_SECRET_CHARACTERS: Final = 4
"""Masking anything shorter would mask half of every line."""

_PATTERNS: Final = (
    # A database URL may hold an unescaped @ or / in its password: up to the last @. The bound
    # keeps a hostile text from costing the square of its length.
    re.compile(r"(?i)(\bpostgres(?:ql)?(?:\+\w+)?://[^\s:/@]*:)\S{0,512}(?=@)"),
    re.compile(r"(://[^\s:/@]*:)[^\s/@]+(?=@)"),
    re.compile(
        r"""(?i)(\bpassword['"]?\s*[=:]\s*)(?:'[^']*'|"[^"]*"|[^\s'"&;,)]+)""",
    ),
)

# Whoever reads a database URL with an unescaped / ? or # in its password takes it to pieces there,
# and names one of them in the error.
_MISREAD_PASSWORD: Final = re.compile(r"(?is)\s*postgres(?:ql)?(?:\+\w+)?://[^:/@]*:(.*[/?#].*)@")
_PIECE_ENDS: Final = re.compile(r"[/?#&=:@]")

Redact = Callable[[str], str]


class Redactor:
    """Replaces known secrets, and passwords in URLs and connection strings, by `***`.

    Args:
        secrets: Their values are looked for in the spellings that quoting, `repr` and JSON give
            them; of a URL its password as well.
    """

    __slots__ = ("_secrets", "_spellings")

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._spellings: Final[set[str]] = set()
        self._secrets: re.Pattern[str] | None = None
        self.learn(*secrets)

    def learn(self, *secrets: Secret) -> None:
        """Mask these from now on, too."""
        self._spellings.update(
            spelling
            for secret in secrets
            for value in _parts(secret.reveal())
            if len(value) >= MIN_SECRET_CHARACTERS
            for spelling in _spellings(value)
        )
        if self._spellings:
            longest_first = sorted(self._spellings, key=len, reverse=True)
            self._secrets = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """Return `text` with every secret masked, and fit to be encoded."""
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{MASK}", text)
        # File names can hold lone surrogates, which neither JSON nor protobuf takes.
        return text if text.isascii() else text.encode(errors="replace").decode()


def _parts(value: str) -> Iterator[str]:
    yield value
    misread = _MISREAD_PASSWORD.match(value)
    if misread:
        yield from _PIECE_ENDS.split(misread[1])
    try:
        user, password = urlsplit(value).username, urlsplit(value).password
    except ValueError:
        return
    # `postgres:postgres`: the user stands in every line about the database, and may.
    if password and password != user:
        yield password
        yield unquote(password)


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield quote_plus(value)
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
