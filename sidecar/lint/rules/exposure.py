"""Rules about what an application's own switches leave open."""

import re
from collections.abc import Iterator

from sidecar.lint.finding import INFO, WARNING, Rule, Violation
from sidecar.lint.rule_context import Checks, RuleContext
from sidecar.lint.rules.secrets import says_default

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


def any_host(context: RuleContext) -> Iterator[Violation]:
    """Find a list of hosts that lets every Host header in."""
    for variable in context.environ:
        if not _HOSTS.fullmatch(variable.name.lower()):
            continue
        hosts = {part.strip(" \"'[]") for part in variable.value.split(",")}
        if "*" in hosts or hosts == {""}:
            message = f"{variable.name} is empty or lets every host in."
            hint = "List the names that the service is reached by."
            yield Violation(APP05, variable.name, message, hint)


def protection_off(context: RuleContext) -> Iterator[Violation]:
    """Find switches that take a protection away."""
    for variable in context.environ:
        name, value = variable.name.lower(), variable.value.strip().lower()
        is_off = value in _OFF and _MUST_BE_ON.fullmatch(name)
        is_bypassed = value in _ON and _MUST_BE_OFF.fullmatch(name)
        if is_off or is_bypassed:
            message = f"{variable.name} takes a protection away."
            hint = "Remove it; trust a private authority by its certificate file instead."
            yield Violation(APP06, variable.name, message, hint)


def default_administrator(context: RuleContext) -> Iterator[Violation]:
    """Find administrators with a password that an attacker tries first."""
    for variable in context.environ:
        is_admin = _ADMIN.fullmatch(variable.name.lower()) and variable.value.strip()
        if is_admin and says_default(variable.value, variable.name):
            message = f"{variable.name} is a default password: the account is everybody's."
            hint = "Generate one with: sidecar secret."
            yield Violation(APP07, variable.name, message, hint)


CHECKS: Checks = (any_host, protection_off, default_administrator)
