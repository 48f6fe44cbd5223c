"""One sentence and one cure for each way in which PostgreSQL cannot be used."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.diagnosis.cause import Cause
from sidecar.diagnosis.dsn_parts import DsnParts


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a database cannot be used.

    Attributes:
        reason: What happened, without a full stop; it names role, host and database at most.
        cure: What to do, as sentences and statements to paste.
    """

    cause: Cause
    reason: str
    cure: str

    def sentence(self, opening: str = "PostgreSQL cannot be reached") -> str:
        """Return all of it, for a person."""
        return f"{opening}: {self.reason}. {self.cure}"


class _Words(NamedTuple):
    """What happened and what to do, with places for the names of `DsnParts.words`."""

    reason: str
    cure: str


_WORDS: Final = {
    Cause.NAME_UNKNOWN: _Words(
        "the host name of {server} does not resolve",
        "Correct the host in DATABASE_URL, or its DNS record; `getent hosts {host}` asks again.",
    ),
    Cause.NAME_INVALID: _Words(
        "the host in DATABASE_URL is no valid name", "Correct the host in DATABASE_URL."
    ),
    Cause.RESOLVER_SILENT: _Words(
        "the DNS resolver gives no answer for {server}",
        "Mend name resolution on this machine: /etc/resolv.conf and the server that it names.",
    ),
    Cause.NOTHING_LISTENS: _Words(
        "{server} refuses the connection, for no server listens there",
        "Start the server, or correct host and port in DATABASE_URL.",
    ),
    Cause.SOCKET_MISSING: _Words(
        "no server listens at {server}",
        "Start the server, or correct the socket's directory in DATABASE_URL (?host=/run/...).",
    ),
    Cause.HOST_UNREACHABLE: _Words(
        "there is no way to {server}",
        "Mend the route or the firewall between here and there, or correct host and port.",
    ),
    Cause.NO_ANSWER: _Words(
        "{server} gave no answer in time",
        "The server hangs, its host is down, or a firewall drops what is sent: look there.",
    ),
    Cause.CUT_OFF: _Words(
        "{server} ended the connection while it was opened",
        "The server, or the proxy before it, restarts or crashes: its log says why.",
    ),
    Cause.TLS_NOT_OFFERED: _Words(
        "{server} offers no TLS, which sslmode asks for, or is no PostgreSQL",
        "Switch ssl on at the server, or correct host, port and sslmode in DATABASE_URL.",
    ),
    Cause.TLS_FAILED: _Words(
        "TLS with {server} could not be agreed on",
        "Compare the TLS versions and certificates of both sides; the server's log names them.",
    ),
    Cause.CERTIFICATE_EXPIRED: _Words(
        "the certificate of {server} is not valid today",
        "Renew the server's certificate and reload it there: SELECT pg_reload_conf(). If it is "
        "valid, set this machine's clock.",
    ),
    Cause.CERTIFICATE_UNTRUSTED: _Words(
        "the certificate of {server} is signed by nobody whom sslrootcert trusts",
        "Let sslrootcert in DATABASE_URL name the file of the authority that signed it.",
    ),
    Cause.CERTIFICATE_OF_OTHER_HOST: _Words(
        "the certificate of {server} is for another host name",
        "Connect by a name that stands in the certificate, or have one issued for this name.",
    ),
    Cause.CERTIFICATE_FILE_MISSING: _Words(
        "a certificate file that DATABASE_URL names is not there",
        "Provide the files of sslrootcert, sslcert and sslkey.",
    ),
    Cause.PASSWORD_REFUSED: _Words(
        "it refuses the password of {role}",
        "Was it rotated? Correct the secret that DATABASE_URL comes from. If the password has "
        "ended, a superuser runs: ALTER ROLE {role_name} VALID UNTIL 'infinity'",
    ),
    Cause.ROLE_REFUSED: _Words(
        "it does not let {role} into {database}: the role may not log in, or pg_hba.conf has "
        "no line for it",
        "A superuser runs ALTER ROLE {role_name} LOGIN, or adds the line to pg_hba.conf and "
        "runs SELECT pg_reload_conf().",
    ),
    Cause.ROLE_MAY_NOT_LOG_IN: _Words(
        "{role} may not log in", "A superuser runs: ALTER ROLE {role_name} LOGIN"
    ),
    Cause.REFUSED_BY_HBA: _Words(
        "its pg_hba.conf does not let {role} into {database} from here",
        "Add a line such as `hostssl {database_name} {role_name} ADDRESS/32 scram-sha-256` to "
        "pg_hba.conf, and run: SELECT pg_reload_conf()",
    ),
    Cause.REFUSED_WITHOUT_TLS: _Words(
        "its pg_hba.conf does not let {role} into {database} from here without TLS",
        "Append ?sslmode=require to DATABASE_URL; if that is refused as well, add a line to "
        "pg_hba.conf and run: SELECT pg_reload_conf()",
    ),
    Cause.DATABASE_MISSING: _Words(
        "{database} does not exist",
        "Correct the name in DATABASE_URL, or create it: CREATE DATABASE {database_name} OWNER "
        "{role_name}",
    ),
    Cause.DATABASE_CLOSED: _Words(
        "{database} takes no connections",
        "A superuser runs: ALTER DATABASE {database_name} ALLOW_CONNECTIONS true",
    ),
    Cause.CONNECT_NOT_GRANTED: _Words(
        "{role} has no right to connect to {database}",
        "Its owner runs: GRANT CONNECT ON DATABASE {database_name} TO {role_name}",
    ),
    Cause.SLOTS_FULL: _Words(
        "all of its connections are in use",
        "See who has them: SELECT usename, application_name, count(*) FROM pg_stat_activity "
        "GROUP BY 1, 2 ORDER BY 3 DESC; then make those pools smaller, or raise "
        "max_connections.",
    ),
    Cause.ROLE_LIMIT: _Words(
        "{role} has all the connections that it may have",
        "Lower DB_POOL_MAX_SIZE, or a superuser runs: ALTER ROLE {role_name} CONNECTION LIMIT -1",
    ),
    Cause.DATABASE_LIMIT: _Words(
        "{database} has all the connections that it may have",
        "Lower DB_POOL_MAX_SIZE, or its owner runs: ALTER DATABASE {database_name} CONNECTION "
        "LIMIT -1",
    ),
    Cause.STARTING: _Words(
        "it is starting, stopping or recovering",
        "Wait for it; if that takes long, the server's log says what it does.",
    ),
    Cause.NO_HOST_FITS: _Words(
        "no host of DATABASE_URL is as its target_session_attrs asks",
        "Promote a standby, or end what keeps the primary read-only.",
    ),
    Cause.DESCRIPTORS_OUT: _Words(
        "this process, or its machine, has no file descriptor left",
        "Raise the limit (`ulimit -n`, LimitNOFILE) and start again.",
    ),
    Cause.URL_UNREADABLE: _Words(
        "DATABASE_URL cannot be read or followed", "`sidecar check` says what is wrong with it."
    ),
    Cause.REFUSED: _Words("it refuses the session", "The server's log says why."),
    Cause.STANDBY: _Words(
        "{server} is a standby, which takes no writes",
        "Let DATABASE_URL lead to the primary: name all hosts and append "
        "?target_session_attrs=read-write. After a failover, correct DNS or the proxy in "
        "between.",
    ),
    Cause.READ_ONLY: _Words(
        "{database} takes no writes, for default_transaction_read_only is on",
        "A person, or a provider whose disk is full, set it. Once there is room: SET "
        "default_transaction_read_only = off; ALTER DATABASE {database_name} RESET "
        "default_transaction_read_only; if a role or the whole server has it, ALTER ROLE or "
        "ALTER SYSTEM. Then end the sessions that began meanwhile.",
    ),
}


def explain(cause: Cause, parts: DsnParts, mark: str = "") -> Explanation:
    """Describe a cause and its cure; `mark` is SQLSTATE or class of the error, never its text."""
    reason, cure = (part.format_map(parts.words) for part in _WORDS[cause])
    return Explanation(cause, f"{reason} ({mark})" if mark else reason, cure)
