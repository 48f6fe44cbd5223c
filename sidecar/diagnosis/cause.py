"""What can be the matter, as a closed set."""

from enum import StrEnum


class Cause(StrEnum):
    """Why the database cannot be used; each word is fit for a metric label.

    Words are short descriptions, so that an alert can show them to a person as they are.
    """

    URL_UNREADABLE = "url-unreadable"
    NAME_UNKNOWN = "host-name-unknown"
    NAME_INVALID = "host-name-invalid"
    RESOLVER_SILENT = "dns-resolver-silent"
    NOTHING_LISTENS = "nothing-listens"
    SOCKET_MISSING = "socket-missing"
    HOST_UNREACHABLE = "host-unreachable"
    NO_ANSWER = "no-answer"
    CUT_OFF = "connection-cut-off"
    TLS_NOT_OFFERED = "tls-not-offered"
    TLS_FAILED = "tls-failed"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_OF_OTHER_HOST = "certificate-of-other-host"
    CERTIFICATE_FILE_MISSING = "certificate-file-missing"
    PASSWORD_REFUSED = "password-refused"  # noqa: S105 - what happened to one, not one
    ROLE_REFUSED = "role-refused"
    ROLE_MAY_NOT_LOG_IN = "role-may-not-log-in"
    REFUSED_BY_HBA = "refused-by-pg-hba"
    REFUSED_WITHOUT_TLS = "refused-without-tls"
    DATABASE_MISSING = "database-missing"
    DATABASE_CLOSED = "database-closed"
    CONNECT_NOT_GRANTED = "connect-not-granted"
    SLOTS_FULL = "connection-slots-full"
    ROLE_LIMIT = "role-connection-limit"
    DATABASE_LIMIT = "database-connection-limit"
    STARTING = "starting-or-stopping"
    NO_HOST_FITS = "no-host-fits"
    DESCRIPTORS_OUT = "file-descriptors-out"
    REFUSED = "refused"
    READ_ONLY = "read-only"
    STANDBY = "standby"
