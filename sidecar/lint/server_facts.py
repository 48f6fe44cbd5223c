"""What a database server says of itself; gathered elsewhere, judged here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Facts about the server that DATABASE_URL leads to, as the role in it sees them.

    Attributes:
        is_local: Reached over a socket or a loopback address, where TLS adds nothing.
        is_encrypted: Whether this connection uses TLS; `None` when the server does not say.
        is_superuser: Whether the role may do everything.
        max_connections: What the server takes in all.
        reserved_connections: What it keeps back for superusers and for reserved roles.
        statement_timeout_seconds: 0 is none.
        idle_timeout_seconds: Limit of an idle transaction; 0 is none.
        is_transaction_pooled: Whether statements of one client reached several sessions.
        pending_migrations: Names of what is not applied, in order.
        newer_schema: The schema was made by a later release.
    """

    is_local: bool
    is_encrypted: bool | None
    is_superuser: bool
    max_connections: int
    reserved_connections: int
    statement_timeout_seconds: float
    idle_timeout_seconds: float
    is_transaction_pooled: bool = False
    pending_migrations: tuple[str, ...] = ()
    newer_schema: bool = False

    @property
    def usable_connections(self) -> int:
        """Return how many connections ordinary roles can have at once."""
        return max(0, self.max_connections - self.reserved_connections)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A server that could not be asked.

    Attributes:
        reason: A sentence for a person, without password.
    """

    reason: str
    cure: str
