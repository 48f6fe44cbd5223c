"""Rules about a DATABASE_URL that is none, and about the credentials in it."""

import re
from urllib.parse import urlsplit

from sidecar.config.dsn import Dsn, DsnError
from sidecar.config.text import uncommented
from sidecar.lint.finding import ERROR, INFO, REFUSE, Rule, Violation, Violations
from sidecar.lint.placeholder import shape_of
from sidecar.lint.rule_context import Checks, DsnChecks, RuleContext
from sidecar.lint.rules.secrets import SEC02, reason_against
from sidecar.lint.shape import SPEAKING

FIELD = "DATABASE_URL"

DB01 = Rule(
    "DB01",
    "DATABASE_URL missing, unparsable, or with another scheme or a driver's name",
    relaxed=ERROR,
    refs=("12-factor IV",),
)
DB02 = Rule(
    "DB02",
    "default credentials: the password is a usual one, or repeats user or database",
    relaxed=INFO,
    refs=("OWASP ASVS 2.10", "CWE-1392"),
)
_EXAMPLE_HOST = re.compile(
    r"host|hostname|server|servername|db[-_]?host|your.*|.*[.-]your[.-].*|"
    r"(?:.*\.)?example(?:\.(?:com|org|net|test))?|.*yourdomain.*",
    re.IGNORECASE,
)
_EXAMPLE_NAMES = frozenset(
    {"dbname", "db_name", "database", "databasename", "database_name", "mydatabase"}
)
_EXAMPLE_USERS = frozenset({"user", "username", "dbuser", "db_user", "myuser"})
_UNFILLED = re.compile(r"<[^<>]+>|\$\{[^}]*\}|\{\{[^}]*\}\}|://[^/]*\*{3}")


def unusable_address(context: RuleContext) -> Violations:
    """Find a DATABASE_URL that is missing or that no driver would take."""
    if context.settings.database_url is None:
        if context.environ.is_promised(FIELD):
            return
        is_strict = context.settings.environment.is_strict
        message = (
            "is required in production" if is_strict else "is not set; the embedded server is used"
        )
        hint = "Set it like postgresql://user:password@host:5432/database?sslmode=verify-full."
        at_most = REFUSE if is_strict else INFO
        yield Violation(DB01, FIELD, f"DATABASE_URL {message}.", hint, at_most=at_most)
    elif not is_example(context):
        try:
            Dsn.parse(context.settings.database_url.reveal(), context.driver_defaults)
        except DsnError as error:
            message = f"DATABASE_URL cannot be used. {error}"
            hint = (
                "It looks like postgresql://user:password@host:5432/database, "
                "with special characters of the password percent-encoded."
            )
            yield Violation(DB01, FIELD, message, hint)


def example_address(context: RuleContext) -> Violations:
    """Find a DATABASE_URL out of a tutorial."""
    if is_example(context):
        message = "DATABASE_URL is using a default or example value."
        hint = "Set the actual address and credentials."
        yield Violation(SEC02, FIELD, message, hint)


def default_credentials(_context: RuleContext, dsn: Dsn) -> Violations:
    """Find a password that an attacker tries first."""
    if dsn.password is None:
        return
    password = dsn.password.reveal()
    repeats = password.lower() in {(dsn.user or "").lower(), (dsn.database or "").lower()}
    if password and (repeats or reason_against(uncommented(password), "")):
        message = "The password inside DATABASE_URL is a default one, or repeats user or database."
        hint = "Give the role a generated password: ALTER ROLE ... PASSWORD."
        yield Violation(DB02, FIELD, message, hint)


def is_example(context: RuleContext) -> bool:
    """Return True when DATABASE_URL is an example; what else it says is then of no interest."""
    url = context.settings.database_url
    if url is None:
        return False
    text = url.reveal()
    if (
        _UNFILLED.search(text)
        or text in context.examples.values.get(FIELD, ())
        or ("://" not in text and shape_of(text))
    ):
        return True
    dsn = context.dsn
    return _has_example_part(dsn) if dsn is not None else _has_example_host(text)


def _has_example_part(dsn: Dsn) -> bool:
    password = dsn.password.reveal() if dsn.password is not None else ""
    is_generic = dsn.user in _EXAMPLE_USERS and shape_of(password) is not None
    speaking = (dsn.user or "", password, dsn.database or "")
    return (
        is_generic
        or (dsn.database or "").lower() in _EXAMPLE_NAMES
        or _EXAMPLE_HOST.fullmatch(dsn.host or "") is not None
        or any(shape_of(part) in SPEAKING for part in speaking)
    )


def _has_example_host(text: str) -> bool:
    """Return True for an example host in an address whose port is a word, such as `host:port`."""
    try:
        host = urlsplit(text).hostname
    except ValueError:
        return False
    return host is not None and _EXAMPLE_HOST.fullmatch(host) is not None


def real_address(context: RuleContext) -> Dsn | None:
    """Return the address to judge; an example says nothing about the deployment."""
    return None if is_example(context) else context.dsn


CHECKS: Checks = (unusable_address, example_address)
DSN_CHECKS: DsnChecks = (default_credentials,)
