"""Reading `OTEL_*`: from the snapshot, so that `.env` and `NAME_FILE` count as the rest does.

The SDK itself would look at the process's environment only.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, urlsplit

from sidecar.config.secret import Secret

LEAST_MILLISECONDS: Final = 100

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP"


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Return True when `OTEL_SDK_DISABLED` switches off spans, and all that is sent."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def read_count(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return a positive integer; the default where there is none."""
    text = environ.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def read_seconds(text: str, default: float) -> float:
    """Return a duration in seconds; the default where there is none.

    The specification has milliseconds. OpenTelemetry for Python takes seconds for some, and a
    number below 100, which no exporter could keep to in milliseconds, is from there.
    """
    try:
        number = float(text)
    except ValueError:
        return default
    if not 0 < number < float("inf"):
        return default
    return number / 1000 if number >= LEAST_MILLISECONDS else number


def read_pairs(text: str) -> dict[str, str]:
    """Return `name=value,name=value` with percent signs decoded; what is no pair is left out."""
    pairs = (item.partition("=") for item in text.split(","))
    return {
        unquote(name).strip(): unquote(value).strip()
        for name, sign, value in pairs
        if sign and name
    }


def find_secrets(environ: Mapping[str, str]) -> Iterator[Secret]:
    """Yield what the headers and addresses of receivers must keep to themselves."""
    for name, text in environ.items():
        if name.startswith(_ENDPOINT) and name.endswith("_HEADERS"):
            for value in read_pairs(text).values():
                yield Secret(value)
                # `Bearer abc`, `Basic abc`: the second word may turn up alone.
                yield from (Secret(word) for word in value.split()[1:])
        if name.startswith(_ENDPOINT) and name.endswith("_ENDPOINT"):
            with suppress(ValueError):
                if password := urlsplit(text).password:
                    yield Secret(password)
