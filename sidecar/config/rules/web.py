"""Rules about what browsers and strangers get to see."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sidecar.config.cors import APP_SCHEMES
from sidecar.config.facts import Facts, Look
from sidecar.config.finding import Rule, Severity, Sighting
from sidecar.config.option import LogLevel

APP01 = Rule(
    "APP01",
    "DEBUG or a log level of DEBUG in production",
    relaxed=None,
    strict=Severity.WARNING,
    refs=("OWASP ASVS 14.3", "CWE-489"),
)
APP02 = Rule(
    "APP02",
    "API docs on in production",
    relaxed=None,
    strict=Severity.WARNING,
    refs=("OWASP ASVS 14.3",),
)
APP03 = Rule(
    "APP03",
    "CORS open to every origin, also when `*` stands inside a list",
    relaxed=Severity.WARNING,
    strict=Severity.WARNING,
    refs=("OWASP ASVS 14.5", "CWE-942"),
)
APP04 = Rule(
    "APP04",
    "a CORS origin that is local, unencrypted or an example; or none set",
    relaxed=None,
    strict=Severity.WARNING,
    refs=("OWASP ASVS 14.5",),
)

_EXAMPLE = re.compile(r"(?:.*\.)?example\.(?:com|org|net)|.*your-?domain.*|.*your-frontend.*")


def debug_on(facts: Facts) -> Iterator[Sighting]:
    """See the switch that shows tracebacks to strangers."""
    if facts.settings.debug:
        yield facts.sighting(
            APP01,
            "DEBUG",
            "DEBUG is enabled in production; it may expose sensitive information.",
            "Set DEBUG=false.",
        )
    if facts.settings.log_level is LogLevel.DEBUG:
        yield facts.sighting(
            APP01,
            "SIDECAR_LOG_LEVEL",
            "SIDECAR_LOG_LEVEL is DEBUG; libraries then log what they send.",
            "Set it to INFO.",
        )


def docs_on(facts: Facts) -> Iterator[Sighting]:
    """See API docs switched on."""
    if facts.settings.enable_docs:
        yield facts.sighting(
            APP02,
            "ENABLE_DOCS",
            "ENABLE_DOCS is on; the API docs are public in production.",
            "Set ENABLE_DOCS=false, or restrict access and silence APP02 with that reason.",
        )


def open_cors(facts: Facts) -> Iterator[Sighting]:
    """See the wildcard."""
    if facts.settings.cors.is_wildcard:
        yield facts.sighting(
            APP03,
            "CORS_ORIGINS",
            "CORS_ORIGINS is set to '*': any web page may call; credentials are left out.",
            "List the origins of your frontends, separated by commas.",
        )


def unfit_origin(facts: Facts) -> Iterator[Sighting]:
    """See origins that no user of a deployed service comes from."""
    if not facts.environ.text("CORS_ORIGINS"):
        yield facts.sighting(
            APP04,
            "CORS_ORIGINS",
            "CORS_ORIGINS is not set; only http://localhost:5000 may call.",
            "List the origins of your frontends; a service without browsers can leave it.",
            at_most=Severity.INFO,
        )
        return
    unfit = [origin for origin in facts.settings.cors.origins if _is_unfit(origin)]
    if unfit:
        yield facts.sighting(
            APP04,
            "CORS_ORIGINS",
            f"CORS_ORIGINS holds {len(unfit)} origin(s) that are local, http:// or an example.",
            "List the https:// origins of your frontends only.",
        )


def _is_unfit(origin: str) -> bool:
    parts = urlsplit(origin)
    host = parts.hostname or ""
    # A packaged application comes from its own `localhost` on each phone.
    return (
        origin != "*"
        and parts.scheme not in APP_SCHEMES
        and (
            parts.scheme == "http"
            or host in {"localhost", "127.0.0.1", "::1"}
            or _EXAMPLE.fullmatch(host) is not None
        )
    )


RULES = (APP01, APP02, APP03, APP04)
LOOKS: tuple[Look, ...] = (debug_on, docs_on, open_cors, unfit_origin)
