"""Every error that the sidecar raises on purpose, each with a stable code."""

from collections.abc import Iterator
from typing import ClassVar


class SidecarError(Exception):
    """Base of all; `code` is stable snake_case, fit for logs, spans and metric labels."""

    code: ClassVar[str] = "sidecar_error"


class UsageError(SidecarError):
    """A request that cannot work; the message says what would."""

    code = "usage"


class TargetError(UsageError):
    """TARGET does not name a publisher; the command line exits with 2."""

    code = "target_not_found"


class TokenFileError(SidecarError):
    """The token of the guarded pages cannot be read or kept; the message says where and why."""

    code = "token_file"


class ConcurrencyError(SidecarError):
    """A stream is not at the version that its writer expected; nothing was appended.

    Attributes:
        stream: The stream's name.
        expected: The version that the writer expected; 0 means "no such stream yet", None any.
        actual: The version found. `None` when a concurrent writer won the race for the same
            version and its number could not be read inside the failed transaction.
    """

    code = "concurrency_conflict"

    def __init__(self, stream: str, expected: int | None, actual: int | None) -> None:
        super().__init__(_describe_conflict(stream, expected, actual))
        self.stream = stream
        self.expected = expected
        self.actual = actual


def _describe_conflict(stream: str, expected: int | None, actual: int | None) -> str:
    if expected is None:
        return (
            f"Other writers of stream {stream!r} were faster. Append again; where that is part of "
            "an open transaction, roll back and run the whole of it again."
        )
    found = "another writer was faster" if actual is None else f"it is at {actual}"
    return (
        f"Stream {stream!r} was expected at version {expected}, but {found}. "
        "Read the stream again, decide anew, and append with the version just read."
    )


class SerializationConflictError(SidecarError):
    """PostgreSQL failed the caller's transaction for what others committed meanwhile.

    That is how `serializable` and `repeatable read` work: run the whole transaction again.
    """

    code = "serialization_conflict"


class EventTypeError(SidecarError):
    """An event class cannot be registered or is not registered."""

    code = "event_type"


class EventDecodingError(SidecarError):
    """A stored event does not fit its registered type; it is parked, never guessed.

    The message names position, type and the place in the document, never a value.
    """

    code = "event_decoding"


class ProjectionError(SidecarError):
    """A projection is declared or driven in a way that cannot work."""

    code = "projection"


class ForeignCheckpointError(ProjectionError):
    """A projection of the same name belongs to another service in the same database."""

    code = "checkpoint_foreign"


class SharedTableError(ProjectionError):
    """Two projections declare one table; a rebuild of one would wipe what the other keeps there."""

    code = "table_shared"


class CheckpointMovedError(SidecarError):
    """Another owner moved the checkpoint first; this batch was rolled back and nothing is lost."""

    code = "checkpoint_moved"


class CheckpointGoneError(SidecarError):
    """The checkpoint's row is gone, and its loop ends.

    Its rebuild was cancelled or swapped in, or the projection runs in another number of partitions.
    """

    code = "checkpoint_gone"


class ProjectionPausedError(SidecarError):
    """The projection was paused; its loop waits for `sidecar projections resume`."""

    code = "projection_paused"


class HandlerExitError(SidecarError):
    """A subscriber raised what ends a task or a process; handled as its other errors are."""

    code = "handler_exit"


class ConnectionMisuseError(SidecarError):
    """A handler used its connection in a way that cannot work; handled as its other errors are."""

    code = "connection_misuse"


class DeferredStatusError(ConnectionMisuseError):
    """The status of a statement was read that is held back, so that PostgreSQL gave none yet."""

    code = "deferred_status"


class ConnectionEndedError(ConnectionMisuseError):
    """A connection was used after its handler had ended, by a task that it had started."""

    code = "connection_ended"


class ConcurrentStatementsError(ConnectionMisuseError):
    """Two statements at a time on one connection, which runs one after the other."""

    code = "concurrent_statements"


class TransactionEndError(ConnectionMisuseError):
    """A handler ended, or was kept from ending, the transaction that holds its checkpoint."""

    code = "transaction_end"


class RebuildStrayedError(SidecarError):
    """A rebuild wrote beside its new copy; that was rolled back, and the live copy goes on."""

    code = "rebuild_strayed"


class StoreUnavailableError(SidecarError):
    """PostgreSQL is out of reach, ended the session, has no room or lost count of its positions.

    The caller may try again, unless the message says that a session ended: what was under way in it
    may have been committed, and would then be done twice.
    """

    code = "store_unavailable"


class StoreUnreachableError(StoreUnavailableError):
    """No session could be opened; the message says why and what to do, and holds no secret.

    Attributes:
        cause: Stable word of a closed set, fit for a metric label.
        reason: What happened, without a full stop.
        cure: What to do.
    """

    def __init__(self, message: str, *, cause: str, reason: str, cure: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.reason = reason
        self.cure = cure


class DatabaseUrlError(StoreUnavailableError):
    """The database URL cannot be read; the message holds nothing of it."""

    code = "database_url"


class StoreRefusedError(SidecarError):
    """PostgreSQL refused a statement, for lack of a privilege for instance."""

    code = "store_refused"


class MissingRightsError(StoreRefusedError):
    """The role lacks rights; the message holds the statements that grant them."""

    code = "missing_rights"


class EmbeddedServerError(SidecarError):
    """The PostgreSQL shipped with the `embedded` extra is missing or did not start."""

    code = "embedded_server"


class LogShortenedError(SidecarError):
    """The log ends before a position that was seen before: the server lost its latest commits.

    That happens when a replica takes over that had not received them. Projections go on from their
    checkpoints, which the same replica has; what it lacks, only a backup can bring back.
    """

    code = "log_shortened"


class MigrationError(SidecarError):
    """The schema is missing or newer than this release, or a migration failed and was undone."""

    code = "migration"


def trace_back(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, each once: one that is raised again may be its own cause."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
