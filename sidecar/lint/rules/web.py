"""Rules about what an application leaves open to browsers and strangers."""

import re
from urllib.parse import urlsplit

from sidecar.config.cors_policy import APP_SCHEMES
from sidecar.config.option import LogLevel
from sidecar.config.text import uncommented
from sidecar.lint.finding import INFO, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext
from sidecar.lint.rules.secrets import reason_against

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
APP05 = Rule(
    "APP05", "allowed hosts empty or `*`", INFO, WARNING, ("Django security.W020", "CWE-644")
)
APP06 = Rule(
    "APP06",
    "cookies without Secure or HttpOnly, CSRF protection or TLS verification off",
    relaxed=INFO,
    refs=("OWASP ASVS 3.4", "CWE-295", "CWE-614"),
)
APP07 = Rule(
    "APP07",
    "a default administrator's account: its password is a placeholder or published",
    refs=("OWASP ASVS 2.5", "CWE-1392"),
)
_OFF = frozenset({"0", "false", "no", "off", "disabled", "none", "cert_none"})
_ON = frozenset({"1", "true", "yes", "on"})
_HOSTS = re.compile(r"(?:.*_)?(?:allowed|trusted)_hosts")
_MUST_BE_ON = re.compile(
    r"(?:.*_)?(?:cookies?_secure|secure_cookies?|session_cookie_httponly|csrf_enabled|"
    r"csrf_protection|ssl_verify|verify_ssl|tls_verify|verify_tls|verify_certs?|ssl_cert_reqs|"
    r"tls_reject_unauthorized|pythonhttpsverify|httpsverify)|pythonhttpsverify"
)
_MUST_BE_OFF = re.compile(
    r"(?:.*_)?(?:ssl_no_verify|tls_no_verify|tls_skip_verify|ssl_skip_verify|skip_tls_verify|"
    r"insecure_skip_verify|tls_insecure|ssl_insecure|disable_csrf|csrf_disabled|allow_insecure_tls)"
)
_ADMIN = re.compile(
    r"(?:.*_)?(?:admin|superuser|root_user|init|initial|default|default_user|bootstrap)"
    r"(?:_user)?_(?:password|pass|pwd)"
)
_EXAMPLE = re.compile(r"(?:.*\.)?example\.(?:com|org|net)|.*your-?domain.*|.*your-frontend.*")


def debug_on(context: RuleContext) -> Violations:
    """Find the switch that shows tracebacks to strangers."""
    if context.settings.debug:
        message = "DEBUG is enabled in production; it may expose sensitive information."
        hint = "Set DEBUG=false."
        yield Violation(APP01, "DEBUG", message, hint)
    if context.settings.log_level is LogLevel.DEBUG:
        message = "SIDECAR_LOG_LEVEL is DEBUG; libraries then log what they send."
        hint = "Set it to INFO."
        yield Violation(APP01, "SIDECAR_LOG_LEVEL", message, hint)


def docs_on(context: RuleContext) -> Violations:
    """Find API docs switched on."""
    if context.settings.enable_docs:
        message = "ENABLE_DOCS is on; the API docs are public in production."
        hint = "Set ENABLE_DOCS=false, or restrict access and silence APP02 with that reason."
        yield Violation(APP02, "ENABLE_DOCS", message, hint)


def open_cors(context: RuleContext) -> Violations:
    """Find the wildcard."""
    if context.settings.cors.is_wildcard:
        message = "CORS_ORIGINS is set to '*': any web page may call; credentials are left out."
        hint = "List the origins of your frontends, separated by commas."
        yield Violation(APP03, "CORS_ORIGINS", message, hint)


def unfit_origin(context: RuleContext) -> Violations:
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


def any_host(context: RuleContext) -> Violations:
    """Find a list of hosts that lets every Host header in."""
    for variable in context.environ:
        if not _HOSTS.fullmatch(variable.name.lower()):
            continue
        hosts = {part.strip(" \"'[]") for part in variable.value.split(",")}
        if "*" in hosts or hosts == {""}:
            message = f"{variable.name} is empty or lets every host in."
            hint = "List the names that the service is reached by."
            yield Violation(APP05, variable.name, message, hint)


def protection_off(context: RuleContext) -> Violations:
    """Find switches that take a protection away."""
    for variable in context.environ:
        name, value = variable.name.lower(), variable.value.strip().lower()
        is_off = value in _OFF and _MUST_BE_ON.fullmatch(name)
        is_bypassed = value in _ON and _MUST_BE_OFF.fullmatch(name)
        if is_off or is_bypassed:
            message = f"{variable.name} takes a protection away."
            hint = "Remove it; trust a private authority by its certificate file instead."
            yield Violation(APP06, variable.name, message, hint)


def default_administrator(context: RuleContext) -> Violations:
    """Find administrators with a password that an attacker tries first."""
    for variable in context.environ:
        is_admin = _ADMIN.fullmatch(variable.name.lower()) and variable.value.strip()
        if is_admin and reason_against(uncommented(variable.value), variable.name):
            message = f"{variable.name} is a default password: the account is everybody's."
            hint = "Generate one with: sidecar secret."
            yield Violation(APP07, variable.name, message, hint)


CHECKS: Checks = (
    debug_on,
    docs_on,
    open_cors,
    unfit_origin,
    any_host,
    protection_off,
    default_administrator,
)
