"""Rules about what browsers and strangers get to see."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sidecar.config.cors_policy import APP_SCHEMES
from sidecar.config.option import LogLevel
from sidecar.lint.finding import INFO, WARNING, Rule, Violation
from sidecar.lint.rule_context import Checks, RuleContext

APP01 = Rule(
    "APP01",
    "DEBUG or a log level of DEBUG in production",
    None,
    WARNING,
    ("OWASP ASVS 14.3", "CWE-489"),
)
APP02 = Rule("APP02", "API docs on in production", None, WARNING, ("OWASP ASVS 14.3",))
APP03 = Rule(
    "APP03",
    "CORS open to every origin, also when `*` stands inside a list",
    WARNING,
    WARNING,
    ("OWASP ASVS 14.5", "CWE-942"),
)
APP04 = Rule(
    "APP04",
    "a CORS origin that is local, unencrypted or an example; or none set",
    None,
    WARNING,
    ("OWASP ASVS 14.5",),
)

_EXAMPLE = re.compile(r"(?:.*\.)?example\.(?:com|org|net)|.*your-?domain.*|.*your-frontend.*")


def debug_on(context: RuleContext) -> Iterator[Violation]:
    """Find the switch that shows tracebacks to strangers."""
    if context.settings.debug:
        message = "DEBUG is enabled in production; it may expose sensitive information."
        hint = "Set DEBUG=false."
        yield Violation(APP01, "DEBUG", message, hint)
    if context.settings.log_level is LogLevel.DEBUG:
        message = "SIDECAR_LOG_LEVEL is DEBUG; libraries then log what they send."
        hint = "Set it to INFO."
        yield Violation(APP01, "SIDECAR_LOG_LEVEL", message, hint)


def docs_on(context: RuleContext) -> Iterator[Violation]:
    """Find API docs switched on."""
    if context.settings.enable_docs:
        message = "ENABLE_DOCS is on; the API docs are public in production."
        hint = "Set ENABLE_DOCS=false, or restrict access and silence APP02 with that reason."
        yield Violation(APP02, "ENABLE_DOCS", message, hint)


def open_cors(context: RuleContext) -> Iterator[Violation]:
    """Find the wildcard."""
    if context.settings.cors.is_wildcard:
        message = "CORS_ORIGINS is set to '*': any web page may call; credentials are left out."
        hint = "List the origins of your frontends, separated by commas."
        yield Violation(APP03, "CORS_ORIGINS", message, hint)


def unfit_origin(context: RuleContext) -> Iterator[Violation]:
    """Find origins that no user of a deployed service comes from."""
    if not context.environ.text("CORS_ORIGINS"):
        message = "CORS_ORIGINS is not set; only http://localhost:5000 may call."
        hint = "List the origins of your frontends; a service without browsers can leave it."
        yield Violation(APP04, "CORS_ORIGINS", message, hint, at_most=INFO)
        return
    unfit = [origin for origin in context.settings.cors.origins if _is_unfit(origin)]
    if unfit:
        message = (
            f"CORS_ORIGINS holds {len(unfit)} origin(s) that are local, http:// or an example."
        )
        hint = "List the https:// origins of your frontends only."
        yield Violation(APP04, "CORS_ORIGINS", message, hint)


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


CHECKS: Checks = (debug_on, docs_on, open_cors, unfit_origin)
