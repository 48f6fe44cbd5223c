"""Which browser pages may call: a pure CORS policy, for the sidecar and for applications."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import msgspec

DEFAULT_ORIGIN = "http://localhost:5000"
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
WILDCARD = "*"

_DEFAULT_PORTS = {"http": 80, "https": 443}
# What the web views of packaged applications and the pages of browser extensions say of themselves.
APP_SCHEMES = frozenset(
    {
        "app",
        "capacitor",
        "capacitor-electron",
        "chrome-extension",
        "electron",
        "ionic",
        "moz-extension",
        "safari-web-extension",
        "tauri",
        "vscode-webview",
    }
)


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Origins, methods and credentials that cross-origin requests are granted.

    Attributes:
        origins: Normal forms (`scheme://host[:port]`), or `*`.
        methods: Methods offered in a preflight answer.
        credentials: Whether cookies may be sent; see `allows_credentials`.
        max_age_seconds: How long a browser may keep a preflight answer.
    """

    origins: tuple[str, ...] = (DEFAULT_ORIGIN,)
    methods: tuple[str, ...] = METHODS
    credentials: bool = True
    max_age_seconds: int = 600

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read origins, parted by commas or as a JSON list; blanks and empty entries are dropped.

        Raises:
            ValueError: An entry is not an origin; the message gives its place, not its text.
        """
        entries = [entry.strip() for entry in _entries(text)]
        origins: list[str] = []
        for place, entry in enumerate(entries, start=1):
            if not entry:
                continue
            origin = WILDCARD if entry == WILDCARD else normal_origin(entry)
            if origin is None:
                raise ValueError(f"Entry {place} is not an origin such as https://app.example.com.")
            origins.append(origin)
        return cls(origins=tuple(dict.fromkeys(origins)))

    @property
    def is_wildcard(self) -> bool:
        """Whether any page may call; true also when `*` stands among other origins."""
        return WILDCARD in self.origins

    @property
    def allows_credentials(self) -> bool:
        """Whether cookies may be sent: never together with the wildcard.

        Otherwise every page of the web could act with the cookies of its visitor.
        """
        return self.credentials and not self.is_wildcard

    def allows(self, origin: str | None) -> bool:
        """Return True when a request with this `Origin` header may be answered to its page."""
        if origin is None:
            return False
        normal = normal_origin(origin)
        return normal is not None and (self.is_wildcard or normal in self.origins)

    def response_headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers for an answer to `origin`; `Vary` is there even when refused.

        Without it a shared cache could hand one origin's answer to another.
        """
        if self.is_wildcard:
            return {"Access-Control-Allow-Origin": WILDCARD} if self.allows(origin) else {}
        headers = {"Vary": "Origin"}
        if origin is not None and self.allows(origin):
            headers["Access-Control-Allow-Origin"] = origin
            if self.allows_credentials:
                headers["Access-Control-Allow-Credentials"] = "true"
        return headers

    def preflight_headers(self, origin: str | None, requested_headers: str = "") -> dict[str, str]:
        """Return the headers for an OPTIONS answer; requested headers are granted as asked."""
        headers = self.response_headers(origin)
        if "Access-Control-Allow-Origin" not in headers:
            return headers
        headers["Access-Control-Allow-Methods"] = ", ".join(self.methods)
        headers["Access-Control-Max-Age"] = str(self.max_age_seconds)
        if requested_headers:
            headers["Access-Control-Allow-Headers"] = requested_headers
        return headers


def _entries(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return text.split(",")
    entries = None
    with suppress(msgspec.DecodeError, UnicodeEncodeError):
        entries = msgspec.json.decode(text, type=list[str])
    # Raised outside of the handler: the decoder's message holds parts of the text.
    if entries is None:
        raise ValueError("It begins like a JSON list of origins, and is none.")
    return entries


def normal_origin(text: str) -> str | None:
    """Return `scheme://host[:port]` in lower case without a default port; `None` if it is none.

    A path, query or user makes it something else than an origin (RFC 6454); one trailing slash
    is forgiven, because people copy addresses from the browser's bar.
    """
    if not text.isascii() or any(character.isspace() for character in text):
        return None
    try:
        parts = urlsplit(text.removesuffix("/"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in APP_SCHEMES | _DEFAULT_PORTS.keys() or not host or "*" in host:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    shown_host = f"[{host}]" if ":" in host else host
    is_default = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{shown_host}" + ("" if is_default else f":{port}")
