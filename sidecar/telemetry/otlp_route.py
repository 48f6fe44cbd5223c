"""Whether a signal is sent by OTLP, where to, and how, as `OTEL_*` says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from sidecar.telemetry.otel_variable import is_disabled, read_pairs, read_seconds

EXPORT_TIMEOUT_SECONDS: Final = 2.0
"""The SDK's ten seconds are longer than a whole shutdown may take."""

_OPTION: Final = "OTEL_EXPORTER_OTLP"


class Signal(StrEnum):
    """What is sent; the values are those of `sidecar.telemetry.dropped`."""

    TRACES = "traces"
    METRICS = "metrics"


class Protocol(StrEnum):
    """How it is sent."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


_DEFAULT_ENDPOINTS: Final = {
    Protocol.HTTP: "http://localhost:4318",
    Protocol.GRPC: "http://localhost:4317",
}


@dataclass(frozen=True, slots=True)
class Route:
    """How one signal is sent.

    Attributes:
        protocol: HTTP unless gRPC was asked for.
        endpoint: For HTTP with its path.
        headers: Sent with each request; they tend to hold a key.
        compression: `gzip`, `deflate` or `none`.
        certificate: File of the authority to trust; None for those of the system.
        client_key: File of the client's key, where it shows a certificate.
        client_certificate: File of that certificate.
        is_insecure: gRPC without TLS.
        unknown_protocol: A protocol that was asked for and is not offered.
    """

    protocol: Protocol
    endpoint: str
    timeout_seconds: float = EXPORT_TIMEOUT_SECONDS
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: str = "none"
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    is_insecure: bool = True
    unknown_protocol: str | None = None


def find_route(environ: Mapping[str, str], signal: Signal) -> Route | None:
    """Return how `signal` is sent, or None when no variable asks for it.

    The specification would send to localhost by default. A sidecar that was given no
    collector stays silent instead: an endpoint or `OTEL_*_EXPORTER=otlp` asks for it.
    """
    if is_disabled(environ) or not _is_wanted(environ, signal):
        return None
    option = partial(_first, environ, signal)
    asked = option("PROTOCOL") or Protocol.HTTP
    is_known = asked in set(Protocol)
    protocol = Protocol(asked) if is_known else Protocol.HTTP
    endpoint = _find_endpoint(environ, signal, protocol)
    return Route(
        protocol,
        endpoint,
        read_seconds(option("TIMEOUT"), EXPORT_TIMEOUT_SECONDS),
        {key.lower(): value for key, value in read_pairs(option("HEADERS")).items()},
        option("COMPRESSION").lower() or "none",
        option("CERTIFICATE") or None,
        option("CLIENT_KEY") or None,
        option("CLIENT_CERTIFICATE") or None,
        _is_insecure(option("INSECURE"), endpoint),
        None if is_known else asked,
    )


def _is_wanted(environ: Mapping[str, str], signal: Signal) -> bool:
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "")
    if exporters.strip():
        return "otlp" in {name.strip() for name in exporters.split(",")}
    return bool(_first(environ, signal, "ENDPOINT"))


def _first(environ: Mapping[str, str], signal: Signal, name: str) -> str:
    """A signal's own variable goes before that of all signals."""
    own = environ.get(f"{_OPTION}_{signal.upper()}_{name}", "")
    return (own or environ.get(f"{_OPTION}_{name}", "")).strip()


def _find_endpoint(environ: Mapping[str, str], signal: Signal, protocol: Protocol) -> str:
    """A signal's own address is complete; the common one of HTTP lacks the signal's path."""
    own = environ.get(f"{_OPTION}_{signal.upper()}_ENDPOINT", "").strip()
    if own:
        return own
    common = environ.get(f"{_OPTION}_ENDPOINT", "").strip() or _DEFAULT_ENDPOINTS[protocol]
    return common if protocol is Protocol.GRPC else f"{common.rstrip('/')}/v1/{signal}"


def _is_insecure(option: str, endpoint: str) -> bool:
    """A scheme decides; without one TLS is used unless it is refused."""
    scheme = urlsplit(endpoint).scheme if "://" in endpoint else ""
    if scheme in {"http", "https"}:
        return scheme == "http"
    return option.lower() == "true"
