"""Rules about the server that DATABASE_URL leads to."""

import re

from sidecar.config.dsn import Dsn
from sidecar.lint.finding import INFO, REFUSE, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import DsnChecks, RuleContext
from sidecar.lint.rules.address import FIELD

POOLER_PORT = 6543

DB03 = Rule("DB03", "connects as a superuser", None, WARNING, ("CWE-250",))
DB04 = Rule("DB04", "a database on this machine in production", None, WARNING)
DB05 = Rule(
    "DB05",
    "no TLS demanded of a remote database: sslmode missing, disable, allow or prefer",
    relaxed=None,
    refs=("OWASP ASVS 9.2", "CWE-319"),
)
DB06 = Rule("DB06", "sslmode=require, which checks no certificate", None, INFO, ("CWE-295",))
DB12 = Rule(
    "DB12", "a pooler in transaction mode, which breaks session locks and prepared statements"
)
DB13 = Rule("DB13", "a test database in production, or a production database in development")
_TESTING = re.compile(r"(?:^|[-_.])(?:tests?|testing|dev|development)(?:$|[-_.])", re.IGNORECASE)
# `shop_test` and `dev-db` are for tests; `ab_test_results` and `dev-portal` are not.
_IS_FOR_TESTING = re.compile(
    r"(?:^|(?<!ab)[-_.])(?:tests?|testing|dev|development)"
    r"(?:[-_.]?(?:\d+|db|database|pg|postgres|postgresql|sql|rds|server))*$",
    re.IGNORECASE,
)
_PRODUCTION = re.compile(r"(?:^|[-_.])(?:prod|production|live)(?:$|[-_.])", re.IGNORECASE)
# Names that no public resolver knows: the network between is the cluster's or the provider's own.
_PRIVATE = re.compile(
    r"[^.:]+|.+\.(?:internal|flycast|local|localdomain|lan|svc|intranet|home\.arpa)", re.IGNORECASE
)


def superuser(_context: RuleContext, dsn: Dsn) -> Violations:
    """Find the usual names of superusers."""
    if dsn.user in {"postgres", "rdsadmin", "cloudsqladmin", "root"}:
        message = "DATABASE_URL connects as a superuser."
        hint = "Create a role that owns the schema and nothing else."
        yield Violation(DB03, FIELD, message, hint)


def local_server(_context: RuleContext, dsn: Dsn) -> Violations:
    """Find an address of this machine; a proxy or a socket beside the service is a good case."""
    if any(host.is_loopback for host in dsn.hosts):
        message = "DATABASE_URL points to this machine."
        hint = "Right for a local proxy (Cloud SQL, PgBouncer): silence DB04 with that reason."
        yield Violation(DB04, FIELD, message, hint)


def no_encryption(context: RuleContext, dsn: Dsn) -> Violations:
    """Find a connection over the network that may fall back to plain text."""
    if dsn.is_local:
        return
    if dsn.sslmode in {None, "disable", "allow", "prefer"}:
        message = "DATABASE_URL does not demand TLS: sslmode is missing or too weak."
        hint = (
            "Append ?sslmode=verify-full&sslrootcert=FILE with the certificate of the server's "
            "authority, or at least ?sslmode=require; the driver's default falls back to plain "
            "text."
        )
        at_most = WARNING if _is_private(dsn) else REFUSE
        yield Violation(DB05, FIELD, message, hint, at_most=at_most)
    elif dsn.sslmode == "require" and root_certificate(context, dsn) is None:
        message = "sslmode=require encrypts, but checks no certificate."
        hint = "Use sslmode=verify-full with sslrootcert."
        yield Violation(DB06, FIELD, message, hint)


def root_certificate(context: RuleContext, dsn: Dsn) -> str | None:
    """Return the file that the server's certificate is checked by, where one is named."""
    return dsn.options.get("sslrootcert") or context.environ.text("PGSSLROOTCERT") or None


def _is_private(dsn: Dsn) -> bool:
    """Return True when every host that is not this machine has a name of a private network only."""
    return all(host.is_local or _PRIVATE.fullmatch(host.name or "") for host in dsn.hosts)


def transaction_pooler(_context: RuleContext, dsn: Dsn) -> Violations:
    """Find addresses of poolers that give each transaction another session."""
    is_pooler = "-pooler." in (dsn.host or "") or dsn.options.get("pgbouncer") == "true"
    if dsn.port == POOLER_PORT or is_pooler:
        message = "DATABASE_URL points to a pooler in transaction mode."
        hint = "Connect to the server itself or to a pooler in session mode: leases need a session."
        yield Violation(DB12, FIELD, message, hint)


def other_stage(context: RuleContext, dsn: Dsn) -> Violations:
    """Find a database whose name says that it belongs to another environment."""
    is_strict = context.settings.environment.is_strict
    kind, is_named, is_meant = (
        ("a test", _TESTING, _IS_FOR_TESTING)
        if is_strict
        else ("a production", _PRODUCTION, _PRODUCTION)
    )
    names = [dsn.database or "", (dsn.host or "").partition(".")[0]]
    if any(is_named.search(name) for name in names):
        message = f"DATABASE_URL names {kind} database, in {context.settings.environment}."
        hint = "Set the address that belongs to this environment."
        at_most = REFUSE if any(map(is_meant.search, names)) else INFO
        yield Violation(DB13, FIELD, message, hint, at_most=at_most)


DSN_CHECKS: DsnChecks = (superuser, local_server, no_encryption, transaction_pooler, other_stage)
