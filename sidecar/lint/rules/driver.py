"""Rules about what the driver and the server make of the parameters of DATABASE_URL."""

from functools import cache
from importlib import resources
from pathlib import Path

from sidecar.config.dsn import SSLMODES, Dsn
from sidecar.config.opaque import has_opaque
from sidecar.config.variable import PROCESS
from sidecar.lint.finding import ERROR, INFO, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import DsnChecks, RuleContext
from sidecar.lint.rules.address import FIELD
from sidecar.lint.rules.database_host import root_certificate

DB17 = Rule(
    "DB17",
    "a parameter of DATABASE_URL that the driver does not know, or a value that it does not take",
    relaxed=ERROR,
)
DB18 = Rule("DB18", "a certificate to be checked, and no file to check it by", relaxed=INFO)
# Read by asyncpg itself; everything else goes to the server as a setting of the session.
_OF_DRIVER = """
database dbname gsslib host krbsrvname passfile password port service sslcert sslcrl sslkey sslmode
sslnegotiation sslpassword sslrootcert ssl_max_protocol_version ssl_min_protocol_version
target_session_attrs user
"""
_DRIVER = frozenset(_OF_DRIVER.split())
_VALUES = {
    "gsslib": frozenset({"gssapi", "sspi"}),
    "sslnegotiation": frozenset({"postgres", "direct"}),
    "target_session_attrs": frozenset(
        {"any", "primary", "standby", "read-write", "read-only", "prefer-standby"}
    ),
    "ssl_min_protocol_version": frozenset({"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
    "ssl_max_protocol_version": frozenset({"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
}
# Parameters of libpq and of other drivers: known well enough to be named, and to be sure.
_OF_OTHERS = """
applicationname async_fallback binary_parameters channel_binding charset command_timeout
connect_timeout connection_limit connection_timeout connecttimeout conn_max_age currentschema
default_query_exec_mode encoding fallback_application_name gssdelegation gssencmode hostaddr
keepalives keepalives_count keepalives_idle keepalives_interval load_balance_hosts logintimeout
max_overflow max_pool_size max_protocol_version max_size min_pool_size min_protocol_version
min_size pgbouncer pool pool_max_conn_idle_time pool_max_conn_lifetime pool_max_conns
pool_min_conns pool_mode pool_pre_ping pool_recycle pool_size pool_timeout
prepared_statement_cache_size prepared_statements preparethreshold reconnect require_auth
requirepeer requiressl schema scram_client_key scram_server_key servicefile socket_timeout
sockettimeout ssl sslaccept sslcertmode sslcompression sslcrldir sslfactory sslidentity
sslkeylogfile sslsni statement_cache_size supa tcpkeepalive timeout uselibpqcompat
"""
_FOREIGN = frozenset(_OF_OTHERS.split())
_CURES = {
    "ssl": "Write sslmode=require, or sslmode=verify-full with sslrootcert.",
    "requiressl": "Write sslmode=require, or sslmode=verify-full with sslrootcert.",
    "schema": "Write search_path=NAME.",
    "currentschema": "Write search_path=NAME.",
    "applicationname": "Remove it; the sidecar names its sessions itself.",
    "keepalives_idle": "Write tcp_keepalives_idle.",
    "keepalives_interval": "Write tcp_keepalives_interval.",
    "keepalives_count": "Write tcp_keepalives_count.",
    "encoding": "Write client_encoding.",
    "charset": "Write client_encoding.",
}
_REMOVE = "Remove it: the driver hands it to the server, which refuses each connection for it."
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def unknown_parameter(_context: RuleContext, dsn: Dsn) -> Violations:
    """Find parameters for which no connection comes about."""
    for name in dsn.options:
        lower = name.lower()
        if name in _DRIVER or "." in name or lower in session_settings():
            continue
        if lower in _FOREIGN:
            message = f"The driver does not know the parameter {lower} of DATABASE_URL."
            yield Violation(DB17, FIELD, message, _CURES.get(lower, _REMOVE))
        else:
            # It may be a setting of a later server, and its name may be half of a password.
            message = "DATABASE_URL has a parameter that neither driver nor server is known for."
            yield Violation(DB17, FIELD, message, _REMOVE, at_most=WARNING)


def unknown_value(_context: RuleContext, dsn: Dsn) -> Violations:
    """Find parameters of a closed set whose value is none of it."""
    for name, values in _VALUES.items():
        text = dsn.options.get(name)
        if text is not None and text not in values and not has_opaque(text):
            message = f"The driver does not take this value of {name} in DATABASE_URL."
            yield Violation(DB17, FIELD, message, f"Write one of {', '.join(sorted(values))}.")


def no_certificate(context: RuleContext, dsn: Dsn) -> Violations:
    """Find a check of the server's certificate that has nothing to check by.

    What files there are is known where this process itself connects, and not of another machine.
    """
    if dsn.is_local or not _is_of_this_process(context):
        return
    if _is_verified(dsn) and root_certificate(context, dsn) is None and not _usual_root().is_file():
        message = f"sslmode={dsn.sslmode} needs a root certificate, and no sslrootcert names it."
        hint = (
            "Append &sslrootcert=FILE with the certificate of the server's authority; without "
            "one the driver looks for ~/.postgresql/root.crt."
        )
        yield Violation(DB18, FIELD, message, hint, at_most=WARNING)


def missing_file(context: RuleContext, dsn: Dsn) -> Violations:
    """Find files of the TLS parameters that the driver would look for in vain."""
    if dsn.sslmode in {"disable", "allow"}:
        return
    named = {name: dsn.options[name] for name in _FILES if name in dsn.options}
    for name, path in named.items():
        if path == "system":
            message = f"{name}=system of DATABASE_URL is libpq's; the driver takes it for a file."
            yield Violation(DB18, FIELD, message, "Name the file of the system's authorities.")
        elif _is_of_this_process(context) and not has_opaque(path) and not Path(path).is_file():
            message = f"The file that {name} of DATABASE_URL names is not there."
            yield Violation(DB18, FIELD, message, "Mount it, or correct the path.")


@cache
def session_settings() -> frozenset[str]:
    """Return what PostgreSQL 15 to 18 let a session set when it connects, in lower case."""
    text = resources.files("sidecar.lint").joinpath("session_settings.txt").read_text("utf-8")
    return frozenset(text.split())


def _is_of_this_process(context: RuleContext) -> bool:
    variable = context.environ.get(FIELD)
    return variable is not None and variable.source == PROCESS


def _is_verified(dsn: Dsn) -> bool:
    return dsn.sslmode in SSLMODES[SSLMODES.index("verify-ca") :]


def _usual_root() -> Path:
    try:
        return Path.home() / ".postgresql" / "root.crt"
    except RuntimeError:
        return Path("root.crt")


DSN_CHECKS: DsnChecks = (unknown_parameter, unknown_value, no_certificate, missing_file)
