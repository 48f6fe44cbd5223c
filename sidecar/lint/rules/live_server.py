"""Rules about the server itself, which no variable can answer for."""

from collections.abc import Callable

from sidecar.config.dsn import Dsn
from sidecar.config.settings import Settings
from sidecar.lint.finding import ERROR, INFO, REFUSE, WARNING, Rule, Violation, Violations
from sidecar.lint.rules.address import FIELD
from sidecar.lint.rules.database_host import DB03, DB05, DB06, DB12
from sidecar.lint.rules.pool_size import POOL_ADVICE
from sidecar.lint.server_facts import Server, Unreachable

SIDECAR_CONNECTIONS = 3
CROWDED_SHARE = 0.8

DB08 = Rule("DB08", "replicas x workers x pool above what the server has left (live)")
DB10 = Rule(
    "DB10", "no limit to how long a statement or an idle transaction may take (live)", INFO, WARNING
)
DB14 = Rule("DB14", "migrations that are not applied, or a schema of a later release (live)")
DB16 = Rule("DB16", "a server that cannot be reached (live)", WARNING, ERROR)

LiveChecks = tuple[Callable[[Settings, Server], Violations], ...]


def judge_live(settings: Settings, server: Server | Unreachable) -> tuple[Violation, ...]:
    """Ask every rule that needs the server behind DATABASE_URL."""
    if isinstance(server, Unreachable):
        return (Violation(DB16, FIELD, server.reason, server.cure),)
    return tuple(violation for check in LIVE_CHECKS for violation in check(settings, server))


def superuser_role(_settings: Settings, server: Server) -> Violations:
    """Find a role that may do everything."""
    if server.is_superuser:
        message = "The role of DATABASE_URL is a superuser."
        hint = "Create a role that owns the schema and nothing else: ALTER ROLE ... NOSUPERUSER."
        yield Violation(DB03, FIELD, message, hint)


def plain_text(_settings: Settings, server: Server) -> Violations:
    """Find a connection over the network that is not encrypted."""
    if not server.is_local and server.is_encrypted is False:
        message = "The connection to the server is not encrypted."
        hint = "Switch ssl on at the server and append ?sslmode=verify-full."
        yield Violation(DB05, FIELD, message, hint)


def unchecked_certificate(settings: Settings, server: Server) -> Violations:
    """Find an encrypted connection whose server was not authenticated."""
    mode = _sslmode(settings)
    if not server.is_local and server.is_encrypted and mode not in {"verify-ca", "verify-full"}:
        message = "The connection is encrypted, but nobody has checked the server's certificate."
        hint = "Use sslmode=verify-full with sslrootcert."
        yield Violation(DB06, FIELD, message, hint)


def connection_budget(settings: Settings, server: Server) -> Violations:
    """Add up what all replicas may open, against what the server has left."""
    wanted = connections_wanted(settings)
    usable = server.usable_connections
    if wanted <= usable * CROWDED_SHARE:
        return
    total = (
        f"{settings.replicas} replica(s) x ({settings.workers} worker(s) + application) x "
        f"{settings.pool_max_size} + {SIDECAR_CONNECTIONS} each = {wanted} connections"
    )
    yield Violation(
        DB08,
        "DB_POOL_MAX_SIZE",
        f"{total}; the server has {usable} (max_connections {server.max_connections} less "
        f"{server.reserved_connections} reserved).",
        f"Lower DB_POOL_MAX_SIZE, raise max_connections, or put a pooler before it. {POOL_ADVICE}",
        at_most=REFUSE if wanted > usable else WARNING,
    )


def no_time_limit(_settings: Settings, server: Server) -> Violations:
    """Find sessions that may hang for ever."""
    limits = {
        "statement_timeout": server.statement_timeout_seconds,
        "idle_in_transaction_session_timeout": server.idle_timeout_seconds,
    }
    missing = [name for name, seconds in limits.items() if seconds <= 0]
    if missing:
        message = (
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set for the role."
        )
        hint = f"ALTER ROLE ... SET {missing[0]} = '60s'; one stuck statement holds a connection."
        yield Violation(DB10, FIELD, message, hint)


def session_pooler(_settings: Settings, server: Server) -> Violations:
    """Find a pooler that gives each transaction another session."""
    if server.is_transaction_pooled:
        message = "DATABASE_URL leads to a pooler in transaction mode."
        hint = "Connect to the server itself or to a pooler in session mode: leases need a session."
        yield Violation(DB12, FIELD, message, hint)


def schema_not_at_head(settings: Settings, server: Server) -> Violations:
    """Find a schema that this release cannot work with; it may apply migrations itself."""
    if server.newer_schema:
        message = "The schema was made by a later release of the sidecar."
        yield Violation(DB14, FIELD, message, "Upgrade event-sidecar.")
    elif server.pending_migrations:
        count = len(server.pending_migrations)
        message = f"{count} migration(s) are not applied, from {server.pending_migrations[0]} on."
        hint = "Run: sidecar migrate."
        at_most = INFO if settings.auto_migrate else REFUSE
        yield Violation(DB14, FIELD, message, hint, at_most=at_most)


def connections_wanted(settings: Settings) -> int:
    """Add up the pools of workers and application of all replicas, and the sidecars' own."""
    pools = (settings.workers + 1) * settings.pool_max_size
    return settings.replicas * (pools + SIDECAR_CONNECTIONS)


def _sslmode(settings: Settings) -> str | None:
    url = settings.database_url
    dsn = None if url is None else Dsn.find(url.reveal())
    return None if dsn is None else dsn.sslmode


LIVE_CHECKS: LiveChecks = (
    superuser_role,
    plain_text,
    unchecked_certificate,
    connection_budget,
    no_time_limit,
    session_pooler,
    schema_not_at_head,
)
